"""``routeret bench``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


def _sizes(_: click.Context, option: click.Parameter, text: str) -> list[int]:
    """Whole numbers, separated by commas."""
    parts = _names(text)
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is not a list of whole numbers like 10000,100000", param=option)
    return [int(part) for part in parts]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


@click.group("bench")
def command() -> None:
    """Measure the index on this machine, beside other stores."""


@command.command(
    cls=Command,
    examples=[
        "routeret bench index --sizes 10000 --stores flat",
        "routeret bench index --sizes 10000,100000,1000000 --corpus sets/* --vectors kb --output bench.json",
    ],
)
@click.option(
    "--sizes",
    default="",
    callback=_sizes,
    metavar="N,N...",
    help="Numbers of synthetic documents, each measured apart.",
)
@click.option(
    "--corpus",
    "corpora",
    type=options.folder,
    multiple=True,
    metavar="FOLDER...",
    help="BEIR folders, measured together with ids <folder>/<id>; repeatable.",
)
@click.option(
    "--vectors",
    type=options.folder,
    metavar="FOLDER",
    help="An export or an index that holds the corpora's vectors. [default: embed them]",
)
@click.option(
    "--stores",
    default="flat,lancedb,chroma",
    show_default=True,
    metavar="NAME,NAME...",
    help="What is measured beside the index; an empty text is nothing.",
)
@options.seed
@options.device
@click.option("--work", type=options.folder, metavar="FOLDER", help="Where data and stores stand meanwhile.")
@click.option(
    "--output", "output_file", type=options.folder, callback=options.existing_parent, metavar="FILE", help="Write JSON."
)
@options.as_json
def index(
    sizes: list[int],
    corpora: tuple[Path, ...],
    vectors: Path | None,
    stores: str,
    seed: int,
    device: str | None,
    work: Path | None,
    output_file: Path | None,
    as_json: bool,
) -> None:
    """Measure building, opening, searching, filtering and changing an index.

    Other stores hold the same vectors and answer the same queries in the same run. A million documents take up to an
    hour and 8 GB of disk. A model runs for the queries of corpora and, without --vectors, for their documents; the
    stores themselves are measured on the CPU.
    """
    if not sizes and not corpora:
        raise click.UsageError("Give --sizes N,N... or --corpus FOLDER, or both.")
    from routeret.benchmarks import bench_index, render

    report = bench_index(
        sizes,
        corpora,
        stores=_names(stores),
        vectors=vectors,
        seed=seed,
        device=device,
        work=work,
        output=output_file,
        show_progress=True,
    )
    if as_json:
        output.print_json(report)
    else:
        click.echo(render(report))
