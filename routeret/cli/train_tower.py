"""``routeret train tower`` and ``routeret train moe``."""

from pathlib import Path
from typing import Any

import click

from routeret.cli import options, output
from routeret.cli.command import Command

_base = click.option(
    "--base", metavar="MODEL", help="The model to start from, by name or folder. [default: all-MiniLM-L6-v2]"
)


@click.command(
    "tower",
    cls=Command,
    examples=[
        "routeret mine cocitations edges.csv --corpus papers --out pairs.jsonl",
        "routeret train tower papers --on pairs.jsonl --corpus papers --data papers --out experts/papers",
        "routeret train tower jobs --on graphs/skill_job graphs/alias_skill --data titles --out experts/jobs",
        "routeret train tower jobs --on graphs/skill_job --data titles --recipe jobs.toml --out experts/jobs",
    ],
)
@click.argument("name")
@click.option(
    "--on",
    "sources",
    type=click.Path(path_type=Path),
    multiple=True,
    required=True,
    metavar="PATH...",
    help="Pairs (JSON lines, with --corpus), or folders of `routeret mine bipartite`; repeatable.",
)
@click.option("--corpus", type=options.folder, metavar="FOLDER", help="The documents that the pairs name.")
@click.option(
    "--data",
    type=options.folder,
    multiple=True,
    required=True,
    metavar="FOLDER...",
    help="BEIR folders whose dev queries tell how long to train, and when the expert helps; repeatable.",
)
@click.option(
    "--out", type=options.folder, required=True, metavar="FOLDER", help="The expert's folder; must not exist."
)
@_base
@click.option(
    "--recipe",
    type=options.folder,
    metavar="FILE",
    help='Settings (TOML): objective = "symmetric", n_hard_negatives = 4 and others; see docs/training.md.',
)
@click.option(
    "--force", is_flag=True, help="Write the expert even if it does not help on dev, or its training ended early."
)
@options.seed
@options.device
@options.as_json
def tower(
    name: str,
    sources: tuple[Path, ...],
    corpus: Path | None,
    data: tuple[Path, ...],
    out: Path,
    base: str | None,
    recipe: Path | None,
    force: bool,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Train a model on texts that belong together, into an expert with document vectors of its own.

    An interrupted training goes on where it stopped when the command is repeated. An expert that does not help is not
    written, and the exit code is 2. Give NAME before the options.
    """
    from routeret.encoders import DEFAULT_BASE
    from routeret.training.tower_recipe_file import TowerRecipeFile
    from routeret.training.tower_sources import tasks_of
    from routeret.training.two_tower import train_two_tower

    file = TowerRecipeFile.read(recipe, kind="tower")
    report = train_two_tower(
        name,
        tasks_of(sources, corpus=corpus, settings=file.tasks),
        data,
        out=out,
        base=base or DEFAULT_BASE,
        recipe=file.recipe,
        device=device,
        how=file.space_fusion,
        seed=seed,
        force=force,
        show_progress=True,
    )
    _show(report.as_dict(), as_json=as_json)
    if not as_json:
        click.echo(f"\nAdd it to an index: routeret experts add INDEX_FOLDER {out}")


@click.command(
    "moe",
    cls=Command,
    examples=[
        "routeret train moe --domain law=statutes --domain health=nfcorpus --out experts/mixture",
        "routeret train moe --domain law=statutes --domain health=nfcorpus --recipe moe.toml --out experts/mixture",
        "routeret experts add kb experts/mixture/experts/law",
    ],
)
@click.option(
    "--domain",
    "domains",
    multiple=True,
    required=True,
    metavar="NAME=FOLDER",
    help="A domain and its BEIR folder, whose train queries it is trained on; at least two. A name may come again.",
)
@click.option("--out", type=options.folder, required=True, metavar="FOLDER", help="The new folder; must not exist.")
@_base
@click.option(
    "--recipe",
    type=options.folder,
    metavar="FILE",
    help="Settings (TOML): checkpoints = [100, 200], layers = [5] and others; see docs/training.md.",
)
@click.option(
    "--force",
    is_flag=True,
    help="Write the experts of all domains, even of those that they do not help, or if the training ended early.",
)
@options.seed
@options.device
@options.as_json
def moe(
    domains: tuple[str, ...],
    out: Path,
    base: str | None,
    recipe: Path | None,
    force: bool,
    seed: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Train one mixture-of-experts model for several domains; every domain becomes an expert.

    The experts share one document space. The first one that is added to an index embeds every document, for the domain
    that its words tell; further ones embed nothing. An expert's domain is that of its queries. The result says what
    share of held-out documents the words told right.
    """
    from routeret.encoders import DEFAULT_BASE
    from routeret.training.moe import train_moe
    from routeret.training.tower_recipe_file import TowerRecipeFile
    from routeret.training.tower_sources import domains_of

    named = [domain.partition("=") for domain in domains]
    if not all(name and folder for name, _, folder in named):
        raise click.UsageError("give every --domain as NAME=FOLDER")
    file = TowerRecipeFile.read(recipe, kind="moe")
    report = train_moe(
        domains_of([(name, Path(folder)) for name, _, folder in named]),
        out=out,
        base=base or DEFAULT_BASE,
        layers=file.layers,
        recipe=file.recipe,
        device=device,
        how=file.space_fusion,
        seed=seed,
        force=force,
        show_progress=True,
    )
    _show(report.as_dict(), as_json=as_json)
    if not as_json:
        click.echo(f"\nAdd an expert to an index: routeret experts add INDEX_FOLDER {out}/experts/NAME")


def _show(values: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        output.print_json(values)
    else:
        click.echo(output.fields_text(values))
