"""``routeret eval``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from routeret.cli import options, output
from routeret.cli.command import Command

if TYPE_CHECKING:
    from routeret.evaluation import Report, SeedsReport


@click.command(
    "eval",
    cls=Command,
    examples=[
        "routeret eval --data nfcorpus --pack minilm-domains",
        "routeret eval --data sets/scifact sets/nfcorpus --download --pack minilm-domains",
        "routeret eval --data sets/* --merged --pack minilm-domains --output merged.json",
        "routeret eval --data sets/* --leave-out --split dev --pack minilm-domains",
        "routeret eval --data manuals --pack minilm-domains --chunker sentences:size=800,overlap=200",
        "routeret eval --data sets/* --pack build/seed-1 build/seed-2 build/seed-3 --output seeds.json",
        "routeret eval --data my-set --index kb --split dev --save-runs runs",
        "routeret eval --data my-set --pack minilm-domains --systems routed baselines query_oracle query_oracle_null",
        "routeret eval --data my-set --pack minilm-domains --systems usual oracles --plots plots",
    ],
)
@click.option(
    "--data", type=options.folder, multiple=True, required=True, metavar="FOLDER...", help="BEIR folders; repeatable."
)
@click.option(
    "--download",
    is_flag=True,
    help="Fetch public BEIR sets whose folders are not there; a folder is called as the set, for example sets/scifact.",
)
@click.option("--merged", is_flag=True, help="Search one index that holds all corpora, instead of one index a set.")
@click.option("--leave-out", is_flag=True, help="Search every set with a pool that has never seen it.")
@click.option(
    "--pack",
    "packs",
    multiple=True,
    metavar="NAME...",
    help="The pack of experts, by name or folder; several trainings of one are measured side by side.",
)
@click.option("--index", type=options.folder, metavar="FOLDER", help="Take experts and router of an index instead.")
@options.chunker
@click.option(
    "--systems", multiple=True, metavar="NAME...", help="Which systems; the base is always one. [default: the usual]"
)
@click.option("--split", default="test", show_default=True, help="Which queries.")
@options.output_file
@click.option("--plots", type=options.folder, metavar="FOLDER", help="Draw gains by expert and set, and costs.")
@click.option("--save-runs", type=options.folder, metavar="FOLDER", help="Write every system's runs in TREC form.")
@click.option("--cache", type=options.folder, metavar="FOLDER", help="Keep embeddings here for the next evaluation.")
@options.device
@options.as_json
def command(
    data: tuple[Path, ...],
    download: bool,
    merged: bool,
    leave_out: bool,
    packs: tuple[str, ...],
    index: Path | None,
    chunker: str | None,
    systems: tuple[str, ...],
    split: str,
    output_file: Path | None,
    plots: Path | None,
    save_runs: Path | None,
    cache: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure base, experts and routing on BEIR folders.

    A set's name is its folder's name. The table shows nDCG@10 of every system, and one below it the difference of
    every system to the base over all sets and how near it comes to the oracles. A line each says on which sets routing
    is shown to be superior, not inferior or inferior to base and hybrid. The JSON has MAP, MRR@10, RP@10 and
    recall@100 too, the differences on every set with 95 % intervals and p-values, the mean weights, and the scores
    apart for queries whose relevant documents the experts were trained on and for queries that repeat none of
    train. With --chunker, a document's score is the best of its spans; an --index has the chunker that it was built
    with.

    With --leave-out, the training corpora of a set's name and source are taken out of the router, and every expert that
    was trained on one of them, or over more than 1 % of the set's documents, out of the pool: so a pack does on
    documents of somebody else.

    With several packs, which are trainings of one recipe from different seeds, every system's mean over the sets is
    shown with its spread over the trainings, and its differences with intervals over trainings, sets and queries.

    --plots writes gains.svg, what every expert gains on every set, and costs.svg, what the other systems gain beside
    how many passes through an encoder and how many searches they need for a query.

    Only --systems measures centroid_max, centroid_kmeans, nearest_pilot, dataset_router, classifier_head,
    expert_classifiers, two_step, description, random, best_single, known_index_expert, query_oracle_null, and the
    oracles over every expert at every strength (dataset_oracle_strengths, query_oracle_strengths,
    query_oracle_strengths_null) and with every weight of BM25 too (dataset_oracle_hybrid, query_oracle_hybrid,
    query_oracle_hybrid_null). "--systems baselines" measures all routers that routing is compared with, "--systems
    usual oracles" all oracles beside the usual systems; a name that there is not lists all.
    """
    if bool(packs) == (index is not None):
        raise click.UsageError("Give either --pack NAME or --index FOLDER.")
    if plots and len(packs) > 1:
        raise click.UsageError("--plots draws one pack; give --pack once.")
    from routeret.chunking import parse_chunker
    from routeret.evaluation import EvaluationSettings, evaluate, evaluate_seeds, summary_text

    if plots:
        from routeret.drawing import require_drawing

        require_drawing()
    if download:
        from routeret.downloads import fetch_missing

        fetch_missing(data, show_progress=True)
    settings = EvaluationSettings(
        split=split,
        systems=systems or None,
        merged=merged,
        leave_out=leave_out,
        chunker=parse_chunker(chunker) if chunker else None,
        save_runs=save_runs,
        cache=cache,
    )
    if len(packs) > 1:
        seeds = evaluate_seeds(data, packs, settings=settings, device=device, show_progress=True)
        _finish(seeds, seeds.table(), output_file=output_file, as_json=as_json)
        return
    pack = packs[0] if packs else None
    report = evaluate(data, pack=pack, index=index, settings=settings, device=device, show_progress=True)
    if plots:
        from routeret.evaluation.plots import draw

        draw(report, plots)
    text = "\n\n".join(filter(None, (report.table(), summary_text(report))))
    _finish(report, text, output_file=output_file, as_json=as_json)


def _finish(report: "Report | SeedsReport", text: str, *, output_file: Path | None, as_json: bool) -> None:
    """Write and print a report."""
    if output_file:
        report.save(output_file)
    if as_json:
        output.print_json(report.to_json())
    else:
        click.echo(text)
