"""``routeret route``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        'routeret route kb "adversaries dump credentials from LSASS memory"',
    ],
)
@options.index_folder
@click.argument("query")
@options.disable
@options.device
@options.as_json
def command(index_folder: Path, query: str, disable: tuple[str, ...], device: str | None, as_json: bool) -> None:
    """Tell how a query would be routed, and why.

    Shows the weights of the base and the experts, the gains that the router predicts, whether it held back, and the
    training corpora and pilot queries that the query is like.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder, device=device) as retriever:
        routing = retriever.route(query, disable=disable)
    if as_json:
        output.print_json(routing.as_dict())
    else:
        click.echo(output.routing_text(routing))
