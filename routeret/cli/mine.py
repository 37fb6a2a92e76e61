"""``routeret mine``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group


def _ids_in(path: Path) -> list[str]:
    # Changing indexes, which the function belongs to, takes twice as long to import as mining.
    from routeret.building import read_ids

    return read_ids(path)


@click.group("mine", cls=Group)
def command() -> None:
    """Mine training data from links.

    A citation graph gives pairs of documents that are cited together; edges between two sets of entities give a graph.
    """


@command.command(
    cls=Command,
    examples=[
        "routeret mine cocitations citations.jsonl --out pairs.jsonl --corpus papers --min-count 2",
        "routeret mine cocitations links.csv.gz --out pairs.jsonl --split train=0.8,dev=0.2 --hold-out test-ids.txt",
    ],
)
@click.argument("edges", type=options.folder)
@click.option(
    "--out",
    type=options.folder,
    required=True,
    metavar="PAIRS",
    callback=options.existing_parent,
    help="The file of pairs, JSON lines, plain or .gz; must not exist. A split's name goes before its ending.",
)
@click.option(
    "--corpus", type=options.folder, metavar="FOLDER", help="The corpus that every cited document must be in."
)
@click.option(
    "--min-count",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Least number of papers that cite both.",
)
@click.option(
    "--most-per-document",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep a pair only if it is among the N most cited of both its documents. [default: all]",
)
@click.option(
    "--most-references",
    type=click.IntRange(min=2),
    default=300,
    show_default=True,
    metavar="N",
    help="Leave out, and name, papers that cite more documents.",
)
@click.option("--split", metavar="TEXT", help="Share the documents out: train=0.8,dev=0.1,test=0.1. [default: none]")
@click.option(
    "--hold-out",
    type=options.folder,
    metavar="FILE",
    help="Ids of papers, one a line, whose citations are ignored in both directions.",
)
@click.option("--skip-unknown", is_flag=True, help="Leave out, and count, citations of documents not in the corpus.")
@options.seed
@options.as_json
def cocitations(
    edges: Path,
    out: Path,
    corpus: Path | None,
    min_count: int,
    most_per_document: int | None,
    most_references: int,
    split: str | None,
    hold_out: Path | None,
    skip_unknown: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Write the pairs of documents that are cited together.

    EDGES holds a citation a line: JSON lines with "citing" and "cited", or CSV with these columns, plain or .gz. A line
    of the result is {"a": ID, "b": ID, "count": N}, where N papers cite both.
    """
    from routeret.mining import mine_cocitations, parse_split

    report = mine_cocitations(
        edges,
        out=out,
        corpus=corpus,
        min_count=min_count,
        most_per_document=most_per_document,
        most_references=most_references,
        split=parse_split(split) if split is not None else None,
        hold_out=_ids_in(hold_out) if hold_out is not None else (),
        skip_unknown=skip_unknown,
        seed=seed,
        show_progress=True,
    )
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))


@command.command(
    cls=Command,
    examples=[
        "routeret mine bipartite skill_job.csv --left skills.jsonl --right jobs.jsonl --out graphs/skill_job",
        "routeret mine bipartite essential.csv optional.csv --left skills --right jobs --out graphs/skill_job",
    ],
)
@click.argument("edges", metavar="EDGES...", type=options.folder, nargs=-1, required=True)
@click.option("--left", type=options.folder, required=True, metavar="CORPUS", help="The corpus of the left ids.")
@click.option("--right", type=options.folder, required=True, metavar="CORPUS", help="The corpus of the right ids.")
@click.option("--out", type=options.folder, required=True, metavar="FOLDER", help="The graph's folder; must not exist.")
@click.option("--name", metavar="TEXT", help="What the graph is called. [default: the folder's name]")
@click.option("--swap", is_flag=True, help="The column left holds the right ids, and right the left ones.")
@options.as_json
def bipartite(
    edges: tuple[Path, ...], left: Path, right: Path, out: Path, name: str | None, swap: bool, as_json: bool
) -> None:
    """Write the graph between two sets of entities.

    EDGES holds a pair a line: JSON lines with "left", "right" and perhaps "weight", or CSV with these columns, plain or
    .gz. Several lists make one graph; for several graphs call it once for each.
    """
    from routeret.mining import mine_bipartite

    report = mine_bipartite(edges, left=left, right=right, out=out, name=name, swap=swap, show_progress=True)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
