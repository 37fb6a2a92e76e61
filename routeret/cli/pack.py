"""``routeret pack``."""

from dataclasses import replace
from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group


@click.group("pack", cls=Group)
def command() -> None:
    """List, show and build packs of experts.

    A pack is a base model, experts for several domains and the router that weighs them.
    """


@command.command(
    "list",
    cls=Command,
    examples=[
        "routeret pack list",
    ],
)
@options.as_json
def list_(as_json: bool) -> None:
    """List the packs on this machine, with their folders."""
    from routeret.packs import list_packs

    folder_by_name = {name: str(folder) for name, folder in list_packs().items()}
    if as_json:
        output.print_json(folder_by_name)
    else:
        click.echo(output.fields_text(folder_by_name))


@command.command(
    cls=Command,
    examples=[
        "routeret pack info minilm-domains",
    ],
)
@click.argument("name")
@options.as_json
def info(name: str, as_json: bool) -> None:
    """Show what a pack, by name or folder, is made of and trained on."""
    from routeret.packs import read_pack

    manifest = dict(read_pack(name).manifest)
    if as_json:
        output.print_json(manifest)
    else:
        click.echo(output.fields_text(manifest))


@command.command(
    cls=Command,
    examples=[
        "routeret pack build eval/packs/minilm-domains.toml --out my-pack",
        "routeret build kb docs.jsonl --pack my-pack",
        "routeret pack build eval/packs/minilm-domains.toml --seed 1 --out my-pack-1",
        "routeret eval --data my-set --pack my-pack my-pack-1",
    ],
)
@click.argument("recipe", type=options.folder)
@click.option("--out", type=options.folder, required=True, metavar="FOLDER", help="The pack's folder; must not exist.")
@click.option("--seed", type=int, metavar="N", help="Where chance starts. [default: the recipe's seed]")
@options.device
@options.as_json
def build(recipe: Path, out: Path, seed: int | None, device: str | None, as_json: bool) -> None:
    """Train the experts and the router of a recipe and write the pack to a folder.

    Packs of one recipe and several seeds show, given to "routeret eval --pack", how much of a figure is chance.
    """
    from routeret.training import PackRecipe, build_pack

    read = PackRecipe.read(recipe)
    read = read if seed is None else replace(read, seed=seed)
    report = build_pack(read, out=out, device=device, show_progress=True)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
