"""``routeret experts``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.group("experts")
def command() -> None:
    """List, add and remove the experts of an index.

    An expert that adapts queries shares the documents' vectors, so nothing is embedded again. One with a document
    space of its own embeds every document once.
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
        "routeret experts add kb --model models/legal-bert --name legal --data statutes",
    ],
)
@options.index_folder
@click.argument("expert_folder", type=options.folder, required=False)
@click.option("--model", metavar="MODEL", help="Add a sentence-transformers model instead, by name or folder.")
@click.option("--name", metavar="NAME", help="What the model will be called as an expert.")
@click.option(
    "--data",
    type=options.folder,
    multiple=True,
    metavar="FOLDER...",
    help="BEIR folders with train and dev queries, from which the router learns when the model helps; repeatable.",
)
@click.option("--query-prompt", metavar="TEXT", help="Put before every query. [default: the model's own]")
@options.device
@options.as_json
def add(
    index_folder: Path,
    expert_folder: Path | None,
    model: str | None,
    name: str | None,
    data: tuple[Path, ...],
    query_prompt: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Add a trained expert, from its folder, to an index and refit the router.

    With --model and --name, any sentence-transformers model becomes an expert with document vectors of its own.
    Without --data the router never chooses it; search with --expert NAME does.
    """
    from routeret.retriever import Retriever

    if (expert_folder is None) == (model is None) or (model is None) != (name is None):
        raise click.UsageError("give either EXPERT_FOLDER, or both --model and --name")
    with Retriever.open(index_folder, device=device) as retriever:
        if model is not None and name is not None:
            retriever.add_model(model, name=name, data=data, query_prompt=query_prompt, show_progress=True)
        elif expert_folder is not None:
            retriever.add_expert(expert_folder, show_progress=True)
        names = list(retriever.expert_names)
    added = name or str(expert_folder)
    if as_json:
        output.print_json({"added": added, "experts": names})
    else:
        click.echo(f"Added {added}; the experts are now: {', '.join(names)}")


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
