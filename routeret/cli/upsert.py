"""``routeret upsert``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret upsert kb changed.jsonl",
    ],
)
@options.index_folder
@options.corpora
@options.prefix_ids
@options.device
@options.as_json
def command(index_folder: Path, corpora: tuple[Path, ...], prefix_ids: bool, device: str | None, as_json: bool) -> None:
    """Add documents to an index, in place of those with the same ids.

    Documents that have not changed, and unchanged spans of those that have, are not embedded again. If one corpus is
    wrong, nothing is changed. If the command is interrupted, run it again: it goes on where it stopped.
    """
    from routeret.building import upsert_corpora

    report = upsert_corpora(index_folder, corpora, prefix_ids=prefix_ids, device=device, show_progress=True)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
