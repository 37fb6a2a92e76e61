"""``routeret experts``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.group("experts")
def command() -> None:
    """List, add and remove the experts of an index.

    No document is embedded again.
    """


@command.command(
    "list",
    cls=Command,
    examples=[
        "routeret experts list kb",
    ],
)
@options.index_folder
@options.as_json
def list_(index_folder: Path, as_json: bool) -> None:
    """List the experts of an index."""
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        names = list(retriever.expert_names)
    if as_json:
        output.print_json(names)
    else:
        click.echo("\n".join(names))


@command.command(
    cls=Command,
    examples=[
        "routeret experts add kb experts/law",
    ],
)
@options.index_folder
@click.argument("expert_folder", type=options.folder)
@options.device
@options.as_json
def add(index_folder: Path, expert_folder: Path, device: str | None, as_json: bool) -> None:
    """Add a trained expert, from its folder, to an index and refit the router."""
    from routeret.retriever import Retriever

    with Retriever.open(index_folder, device=device) as retriever:
        retriever.add_expert(expert_folder)
        names = list(retriever.expert_names)
    if as_json:
        output.print_json({"added": str(expert_folder), "experts": names})
    else:
        click.echo(f"Added {expert_folder}; the experts are now: {', '.join(names)}")


@command.command(
    cls=Command,
    examples=[
        "routeret experts remove kb tuned",
    ],
)
@options.index_folder
@click.argument("name")
@options.as_json
def remove(index_folder: Path, name: str, as_json: bool) -> None:
    """Remove an expert from an index and refit the router."""
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        retriever.remove_expert(name)
        names = list(retriever.expert_names)
    if as_json:
        output.print_json({"removed": name, "experts": names})
    else:
        click.echo(f"Removed {name}; the experts are now: {', '.join(names) or 'none'}")
