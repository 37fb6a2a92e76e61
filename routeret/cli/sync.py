"""``routeret sync``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret sync kb docs.jsonl",
        "routeret sync kb science/ health/ --prefix-ids --yes",
    ],
)
@options.index_folder
@options.corpora
@options.prefix_ids
@click.option("--yes", "is_confirmed", is_flag=True, help="Do not ask before more than half of the documents go.")
@options.device
@options.as_json
def command(
    index_folder: Path,
    corpora: tuple[Path, ...],
    prefix_ids: bool,
    is_confirmed: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Make an index hold the documents of corpora and no others.

    Tells how many documents were added, changed, left unchanged and removed. Those that have not changed are not
    embedded again. Before more than half of the documents are removed, the command asks. All of it is done or, if
    anything goes wrong, nothing; if the command is interrupted, run it again: it goes on where it stopped.
    """
    from routeret.building import sync_corpora

    report = sync_corpora(
        index_folder,
        corpora,
        prefix_ids=prefix_ids,
        device=device,
        confirm=None if is_confirmed else _confirm,
        show_progress=True,
    )
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))


def _confirm(n_removed: int, n_documents: int) -> bool:
    try:
        return click.confirm(f"{n_removed} of {n_documents} documents will be removed. Go on?", err=True)
    except click.Abort:
        # Nobody is there to answer.
        click.echo(err=True)
        return False
