"""``routeret compact``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret compact kb",
    ],
)
@options.index_folder
@options.as_json
def command(index_folder: Path, as_json: bool) -> None:
    """Give the room of removed documents back.

    Vectors are copied, and nothing is embedded. What a call that was interrupted had embedded goes too: repeat that
    call first if it is still wanted.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        removed_rows = retriever.compact()
        n_documents = len(retriever)
    if as_json:
        output.print_json({"index": str(index_folder), "removed_rows": removed_rows, "n_documents": n_documents})
    else:
        click.echo(f"Rows given back: {removed_rows:,}; the index holds {output.documents_text(n_documents)}.")
