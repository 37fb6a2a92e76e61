"""``routeret warm``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(cls=Command, examples=["routeret warm kb"])
@options.index_folder
@options.as_json
def command(index_folder: Path, as_json: bool) -> None:
    """Prepare this machine for searching an index fast.

    On a processor, queries are run by a graph of ONNX Runtime. It is exported once a model and machine, which takes
    some ten seconds, checked against PyTorch, and kept in the user's cache; the environment variable ROUTERET_GRAPHS
    names another folder, or is "off". routeret build does it by itself. It is needed where an index was copied from
    another machine. Without a graph PyTorch runs the queries.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        graphs = retriever.warm()
    if as_json:
        output.print_json({"index": str(index_folder), "graphs": graphs})
    elif graphs:
        click.echo(f"Queries are run by the graph of {', '.join(graphs)}.")
    else:
        click.echo(
            "Queries are run without a graph: graphs are switched off, onnxruntime is not installed, or the models are "
            "on a GPU or have parts that no graph can hold."
        )
