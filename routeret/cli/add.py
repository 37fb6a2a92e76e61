"""``routeret add``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret add kb more.jsonl",
    ],
)
@options.index_folder
@options.corpora
@options.prefix_ids
@options.device
@options.as_json
def command(index_folder: Path, corpora: tuple[Path, ...], prefix_ids: bool, device: str | None, as_json: bool) -> None:
    """Add documents to an index.

    A document that the index holds already with the same content is skipped; one with another content is an error
    (upsert puts it in place of the old one). If one corpus is wrong, nothing is added. If the command is interrupted,
    run it again: it goes on where it stopped, and "resumed" counts the documents that it found embedded.
    """
    from routeret.building import add_corpora

    report = add_corpora(index_folder, corpora, prefix_ids=prefix_ids, device=device, show_progress=True)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
