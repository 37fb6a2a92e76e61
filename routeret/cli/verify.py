"""``routeret verify``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command

DAMAGED = 1


@click.command(
    cls=Command,
    examples=[
        "routeret verify kb",
        "routeret verify kb --repair",
    ],
)
@options.index_folder
@click.option("--repair", is_flag=True, help="First remove what is damaged and can be made again from the rest.")
@options.as_json
@click.pass_context
def command(context: click.Context, index_folder: Path, repair: bool, as_json: bool) -> None:
    """Check every byte of an index against its checksums.

    Prints one line for every damaged file and ends with exit code 1, or says that the index is whole and ends with 0.
    With --repair, what is damaged and can be made again is removed: full text is built again at the next search, a
    search structure when documents come next (until then vectors are searched exactly). An index whose store has lost
    its last changes, but is whole as it was before them, goes on without them. Damaged documents, vectors, experts and
    routers stay as they are: restore them from a copy.
    """
    from routeret.retriever.checking import check_folder

    report = check_folder(index_folder, repair=repair)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.check_text(report))
    if not report.is_whole:
        context.exit(DAMAGED)
