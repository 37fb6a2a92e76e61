"""``routeret train``."""

from pathlib import Path
from typing import Literal

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group
from routeret.cli.train_tower import moe, tower


@click.group("train", cls=Group)
def command() -> None:
    """Train experts."""


@command.command(
    "expert",
    cls=Command,
    examples=[
        "routeret train expert law --data statutes cases --out experts/law",
        "routeret train expert law --data statutes --anchor nfcorpus scifact --out experts/law",
        "routeret train expert law --data statutes --kind lora --out experts/law",
        "routeret train expert law --data statutes --recipe law.toml --cache vectors --out experts/law",
        "routeret experts add kb experts/law",
    ],
)
@click.argument("name")
@click.option(
    "--data",
    type=options.folder,
    multiple=True,
    required=True,
    metavar="FOLDER...",
    help="BEIR folders with train and dev queries; repeatable.",
)
@click.option(
    "--out", type=options.folder, required=True, metavar="FOLDER", help="The expert's folder; must not exist."
)
@click.option(
    "--kind",
    type=click.Choice(["linear", "lora"]),
    default="linear",
    show_default=True,
    help="linear: a matrix on the query's vector, in seconds; lora: an adapter in the base's layers, in minutes.",
)
@click.option(
    "--anchor",
    type=options.folder,
    multiple=True,
    metavar="FOLDER...",
    help="BEIR folders of other domains, on whose queries the expert is kept close to the base; repeatable.",
)
@click.option("--base", metavar="MODEL", help="The base model, by name or folder. [default: all-MiniLM-L6-v2]")
@click.option(
    "--recipe",
    type=options.folder,
    metavar="FILE",
    help="A TOML file with fields of LinearRecipe or LoraRecipe, such as checkpoints = [60, 120].",
)
@click.option("--description", metavar="TEXT", help="What the expert is for, in words; kept in its folder.")
@click.option(
    "--cache",
    type=options.folder,
    metavar="FOLDER",
    help="Where vectors are kept, so that another call on the same texts does not embed them again.",
)
@click.option(
    "--force", is_flag=True, help="Write the expert even if it does not help on dev, or a linear fit diverged later on."
)
@options.seed
@options.device
@options.as_json
def expert(
    name: str,
    data: tuple[Path, ...],
    out: Path,
    kind: Literal["linear", "lora"],
    anchor: tuple[Path, ...],
    base: str | None,
    recipe: Path | None,
    description: str | None,
    cache: Path | None,
    force: bool,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Train an expert on BEIR folders and write it to a folder.

    Trains on all train queries, picks the strength on dev, and compares the expert with the base on dev. An expert
    that does not help is not written, and the exit code is 2. Give NAME before the options.
    """
    from routeret.encoders import DEFAULT_BASE
    from routeret.training import train_expert

    report = train_expert(
        name,
        data,
        out=out,
        kind=kind,
        anchors=anchor,
        base=base or DEFAULT_BASE,
        device=device,
        seed=seed,
        recipe=recipe,
        description=description or "",
        cache=cache,
        force=force,
        show_progress=True,
    )
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
        click.echo(f"\nAdd it to an index: routeret experts add INDEX_FOLDER {out}")


command.add_command(tower)
command.add_command(moe)
