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
@options.as_json
def command(index_folder: Path, recall: float, factory: str | None, as_json: bool) -> None:
    """Build the search structure of an index again, and measure its recall.

    Adding documents does so by itself when it pays, with what was asked for last. The recall is measured against exact
    search, on queries as the base and every expert write them. Nothing is embedded.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        found = retriever.optimise(recall=recall, factory=factory)
    if as_json:
        output.print_json({"index": str(index_folder), **found})
        return
    click.echo(f"Search structure: {found['factory']}, over {found.get('rows', found['rows_exact']):,} rows.")
    for name, value in sorted(found.get("recall", {}).items(), key=lambda item: item[1]):
        click.echo(f"  recall {value:.4f} for queries of {name}")
    if found.get("reason"):
        click.echo(found["reason"])
