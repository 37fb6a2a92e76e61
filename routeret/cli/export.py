"""``routeret export``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret export kb kb-export",
    ],
)
@options.index_folder
@click.argument("folder", type=options.folder)
@options.as_json
def command(index_folder: Path, folder: Path, as_json: bool) -> None:
    """Write the documents and vectors of an index as plain files.

    The folder is new and holds corpus.jsonl, as BEIR has it, and two NumPy files: vectors.npy with a vector a span,
    and spans.npy with what each belongs to (place of the document in the corpus, start, end). Other programs can read
    it, and so can: routeret import.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        retriever.export(folder)
        n_documents = len(retriever)
    if as_json:
        output.print_json({"index": str(index_folder), "folder": str(folder), "n_documents": n_documents})
    else:
        click.echo(f"Wrote {output.documents_text(n_documents)} with vectors to {folder}")
