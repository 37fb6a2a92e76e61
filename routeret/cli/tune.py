"""``routeret tune``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret tune kb --queries labelled.jsonl",
        "routeret tune kb --data my-set --split train --limit 100",
    ],
)
@options.index_folder
@click.option("--queries", type=options.folder, metavar="FILE", help="Labelled queries: JSON lines, see above.")
@click.option("--data", type=options.folder, metavar="FOLDER", help="A BEIR folder with labelled queries instead.")
@click.option("--split", default="train", show_default=True, help="Which queries of --data.")
@options.prefix_ids
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use N of the queries, drawn at random.")
@click.option("--name", default="tuned", show_default=True, help="What the expert is called in the index.")
@options.seed
@click.option("--force", is_flag=True, help="Install the expert even if its expected benefit is too small.")
@options.device
@options.as_json
def command(
    index_folder: Path,
    queries: Path | None,
    data: Path | None,
    split: str,
    prefix_ids: bool,
    limit: int | None,
    name: str,
    seed: int,
    force: bool,
    device: str | None,
    as_json: bool,
) -> None:
    """Fit an expert of your own to an index.

    It learns from queries whose relevant documents you know: about 100 queries and a few seconds are enough. It is
    compared by cross-validation with what the index does now, and installed only if the expected benefit outweighs
    the risk; the command says so either way, and both ends are exit code 0. No document is embedded again. To undo
    it: routeret experts remove INDEX_FOLDER tuned.

    Every line of the file of queries is an object like {"query": "how long is the warranty?", "relevant": ["faq-17"]}.
    """
    from routeret.labelled import labelled_queries_of, read_labelled_queries
    from routeret.retriever import Retriever

    if queries and not data:
        labelled = read_labelled_queries(queries, limit=limit, seed=seed)
    elif data and not queries:
        labelled = labelled_queries_of(data, split=split, prefix_ids=prefix_ids, limit=limit, seed=seed)
    else:
        raise click.UsageError("Give either --queries FILE or --data FOLDER.")
    with Retriever.open(index_folder, device=device) as retriever:
        report = retriever.tune(labelled, name=name, seed=seed, show_progress=True, force=force)
    if as_json:
        output.print_json(report.as_dict())
        return
    click.echo(f"{'Installed' if report.installed else 'Not installed'}: {report.reason}")
    click.echo(output.fields_text(report.as_dict(), indent="  "))
