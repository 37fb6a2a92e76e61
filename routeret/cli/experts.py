"""``routeret experts``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group

if TYPE_CHECKING:
    from routeret.retriever.expert_fits import ExpertFit

_TOKEN_STORAGE_BY_TARGETS: Mapping[str, Literal["fp16", "int8"] | None] = {
    "pooled": None,
    "tokens": "fp16",
    "tokens-int8": "int8",
}


@click.group("experts", cls=Group)
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
        "routeret experts list kb --fit",
    ],
)
@options.index_folder
@click.option("--fit", is_flag=True, help="Show how well each expert fits the documents; loads the models.")
@options.as_json
def list_(index_folder: Path, fit: bool, as_json: bool) -> None:
    """List the experts of an index, and what they are for.

    With --fit, each with the share of the documents that it was trained over, or nearly equal ones. How far its
    training documents lie from these, and how far it agrees with the base, are shown for people: they do not tell
    whether an unknown expert helps.
    """
    from routeret.retriever import Retriever

    with Retriever.open(index_folder) as retriever:
        descriptions = retriever.expert_descriptions
        fits = retriever.expert_fits() if fit else []
    if fit and as_json:
        output.print_json([one.as_dict() for one in fits])
    elif fit:
        click.echo("\n".join(map(fit_text, fits)))
    elif as_json:
        output.print_json([{"expert": name, "description": said} for name, said in descriptions.items()])
    else:
        click.echo("\n".join(name if said is None else f"{name}: {said}" for name, said in descriptions.items()))


@command.command(
    cls=Command,
    examples=[
        "routeret experts add kb experts/law",
        'routeret experts add kb experts/law --description "case law of the higher courts"',
        "routeret experts add kb --model models/legal-bert --name legal --data statutes",
        "routeret experts add kb --model models/legal-bert --name legal --interaction 0 --targets tokens",
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
@click.option("--document-prompt", metavar="TEXT", help="Put before every document. [default: the model's own]")
@click.option(
    "--description",
    metavar="TEXT",
    help="What the expert is for, in words, in place of what its folder says.",
)
@click.option(
    "--interaction",
    type=click.FloatRange(min=0),
    metavar="TEMPERATURE",
    help="Score the model's candidates by the tokens of the query (late interaction). At 0 only the best match counts "
    "(MaxSim); the higher the temperature, the more the others count too. [default: one vector a query]",
)
@click.option(
    "--targets",
    type=click.Choice(list(_TOKEN_STORAGE_BY_TARGETS)),
    help="What the tokens of a query are compared with: one vector of each document (pooled), or the vectors of all "
    "its tokens, kept as float16 (tokens) or in half the room (tokens-int8); info shows their size. "
    "[default: pooled]",
)
@options.device
@options.as_json
def add(
    index_folder: Path,
    expert_folder: Path | None,
    model: str | None,
    name: str | None,
    data: tuple[Path, ...],
    query_prompt: str | None,
    document_prompt: str | None,
    description: str | None,
    interaction: float | None,
    targets: str | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Add a trained expert, or any model, to an index.

    The router is fitted anew. With --model and --name, any sentence-transformers model becomes an expert with document
    vectors of its own. Without --data the router never chooses it; search with --expert NAME does.
    """
    from routeret.retriever import Retriever

    if (expert_folder is None) == (model is None) or (model is None) != (name is None):
        raise click.UsageError("give either EXPERT_FOLDER, or both --model and --name")
    if interaction is None and targets is not None:
        raise click.UsageError("--targets says what the tokens of a query are compared with; give --interaction too")
    if interaction is not None and model is None:
        raise click.UsageError("a trained expert brings its own way to score; --interaction goes with --model")
    if model is None and (data or query_prompt is not None or document_prompt is not None):
        raise click.UsageError(
            "a trained expert brings its own prompts and pilots; --query-prompt, --document-prompt and --data go with "
            "--model"
        )
    gain = None
    with Retriever.open(index_folder, device=device) as retriever:
        if model is not None and name is not None:
            gain = retriever.add_model(
                model,
                name=name,
                data=data,
                query_prompt=query_prompt,
                document_prompt=document_prompt,
                description=description,
                interaction=interaction,
                token_storage=_TOKEN_STORAGE_BY_TARGETS[targets or "pooled"],
                show_progress=True,
            )
        elif expert_folder is not None:
            retriever.add_expert(expert_folder, description=description, show_progress=True)
        names = list(retriever.expert_names)
    added = name or str(expert_folder)
    if as_json:
        shown = {} if gain is None or not data else {"difference": gain.as_dict()}
        output.print_json({"added": added, "experts": names, **shown})
    else:
        click.echo(f"Added {added}; the experts are now: {', '.join(names)}")
        if gain is not None and data:
            click.echo(f"Beside the base it changes nDCG@10 on dev by {gain.mean:+.4f} (p = {gain.p_value:.4f}).")


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


def fit_text(fit: "ExpertFit") -> str:
    """A line about an expert and the documents of an index."""
    distance = "" if fit.distance is None else f"; distance from those it was trained over {fit.distance:.2f}"
    return (
        f"{fit.expert} knows {fit.known:.0%} of {output.documents_text(fit.n_documents)} looked at{distance}; of the "
        f"base's first hits {fit.agreement:.0%} are also its own"
    )
