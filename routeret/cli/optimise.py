"""``routeret optimise``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret optimise kb",
        "routeret optimise kb --recall 0.999",
        "routeret optimise kb --factory HNSW32",
    ],
)
@options.index_folder
@click.option(
    "--recall", type=float, default=0.99, show_default=True, help="Share of the ten nearest that a search must find."
)
@click.option("--factory", help="A FAISS factory string, or 'exact'; by default the number of documents decides.")
@options.device
@options.as_json
def command(index_folder: Path, recall: float, factory: str | None, device: str | None, as_json: bool) -> None:
    """Build the search structure of an index again, and measure its recall.

    Adding documents does so by itself when it pays, with what was asked for last. No document is embedded. The recall
    is measured against exact search, on some hundred runs of a few words from the documents: the base and every expert
    write them as queries, an expert with documents of its own into its own space, which has a structure too.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder, device=device) as retriever:
        found = retriever.optimise(recall=recall, factory=factory)
    if as_json:
        output.print_json({"index": str(index_folder), **found})
    else:
        click.echo(output.structures_text(found))
