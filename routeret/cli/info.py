"""``routeret info``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret info kb",
    ],
)
@options.index_folder
@options.as_json
def command(index_folder: Path, as_json: bool) -> None:
    """Tell what an index holds.

    Documents, spans, chunker, spaces, base model, experts and router; loads no model.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        info = retriever.info()
    if as_json:
        output.print_json(info)
    else:
        click.echo(output.info_text(info))
