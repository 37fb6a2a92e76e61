"""``routeret tune``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from routeret.cli import options, output
from routeret.cli.command import Command

if TYPE_CHECKING:
    from routeret.training import TuneReport
    from routeret.training.unlabelled import UnlabelledReport

_NO_CURVE = "too few to tell what more would add"


@click.command(
    cls=Command,
    examples=[
        "routeret tune kb --queries labelled.jsonl",
        "routeret tune kb --clicks log.jsonl --least-clicks 2",
        "routeret tune kb --data my-set --split train --limit 100 --picture curve.svg",
        "routeret tune kb",
    ],
)
@options.index_folder
@click.option("--queries", type=options.folder, metavar="FILE", help="Labelled queries: JSON lines, see above.")
@click.option("--clicks", type=options.folder, metavar="FILE", help="A click log instead: JSON lines, see above.")
@click.option(
    "--least-clicks",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Clicks that a document of --clicks needs on a query.",
)
@click.option("--data", type=options.folder, metavar="FOLDER", help="A BEIR folder with labelled queries instead.")
@click.option("--split", default="train", show_default=True, help="Which queries of --data.")
@options.prefix_ids
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Use N of the queries, drawn at random.")
@click.option("--name", default="tuned", show_default=True, help="What the expert is called in the index.")
@options.seed
@click.option("--force", is_flag=True, help="Install the expert even if its expected benefit is too small.")
@click.option(
    "--picture",
    type=options.folder,
    callback=options.existing_parent,
    metavar="FILE",
    help="Draw the learning curve to a .png or .svg file.",
)
@options.device
@options.as_json
@click.pass_context
def command(
    context: click.Context,
    index_folder: Path,
    queries: Path | None,
    clicks: Path | None,
    least_clicks: int,
    data: Path | None,
    split: str,
    prefix_ids: bool,
    limit: int | None,
    name: str,
    seed: int,
    force: bool,
    picture: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Fit an expert of your own to an index, or learn from its documents alone.

    It learns from queries whose relevant documents you know: about 100 queries and a few seconds are enough. It is
    compared by cross-validation with what the index does now, and installed only if the expected benefit outweighs
    the risk; the command says so either way, and both ends are exit code 0. No document is embedded again. The weight
    of BM25 beside it is learned from the same queries. The command also says what more labelled queries may add. To
    undo it: routeret experts remove INDEX_FOLDER tuned.

    Every line of the file of queries is an object like {"query": "how long is the warranty?", "relevant": ["faq-17"]}.

    Every line of a click log is one like {"query": "warranty", "shown": ["faq-3", "faq-17"], "clicked": ["faq-17"]}.
    A document answers a query if it was clicked at least as often as any document would have been at its places.
    "shown" may be left out; then clicks are only counted.

    With none of --queries, --clicks and --data, the index learns from sentences and titles of its own documents how
    queries are turned where no expert knows the documents, towards what vectors and BM25 find together. That counts
    where vectors search alone, as with --disable bm25; as far as BM25 counts itself, nothing changes. To undo it:
    routeret experts remove INDEX_FOLDER own-map.
    """
    from routeret.clicks import clicked_queries
    from routeret.labelled import labelled_queries_of, read_labelled_queries
    from routeret.retriever import Retriever
    from routeret.training.curve_plot import draw_curve, require_picture

    _require_used(context, queries=queries, clicks=clicks, data=data)
    n_sources = sum(source is not None for source in (queries, clicks, data))
    if n_sources == 0 and not (limit or force or picture):
        with Retriever.open(index_folder, device=device) as retriever:
            unlabelled = retriever.tune_unlabelled(seed=seed, show_progress=True)
        _show(unlabelled, unlabelled.as_dict(), as_json=as_json)
        return
    if n_sources != 1:
        raise click.UsageError("Give one of --queries FILE, --clicks FILE and --data FOLDER.")
    if picture:
        require_picture(picture)
    if queries:
        labelled = read_labelled_queries(queries, limit=limit, seed=seed)
    elif clicks:
        labelled = clicked_queries(clicks, least_clicks=least_clicks, limit=limit, seed=seed)
    else:
        labelled = labelled_queries_of(data or Path(), split=split, prefix_ids=prefix_ids, limit=limit, seed=seed)
    with Retriever.open(index_folder, device=device) as retriever:
        report = retriever.tune(labelled, name=name, seed=seed, show_progress=True, force=force)
    if picture and report.curve:
        draw_curve(report.curve, picture)
    elif picture:
        click.echo(f"{picture} was not drawn: {report.n_queries} queries are {_NO_CURVE}", err=True)
    values = report.as_dict()
    _show(report, values if as_json else {**values, "curve": str(report.curve or _NO_CURVE)}, as_json=as_json)


def _require_used(context: click.Context, *, queries: Path | None, clicks: Path | None, data: Path | None) -> None:
    """Refuse options that would say nothing beside the others."""
    needs = {
        "name": ("--queries, --clicks or --data", queries or clicks or data),
        "least_clicks": ("--clicks", clicks),
        "split": ("--data", data),
        "prefix_ids": ("--data", data),
    }
    for name, (needed, given) in needs.items():
        if given is None and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} says nothing without {needed}; leave it out.")


def _show(report: "TuneReport | UnlabelledReport", values: Mapping[str, Any], *, as_json: bool) -> None:
    """Print what tuning gave: values alone, or the decision in words and then the values."""
    if as_json:
        output.print_json(dict(values))
        return
    click.echo(f"{'Installed' if report.installed else 'Not installed'}: {report.reason}")
    click.echo(output.fields_text(values, indent="  "))
