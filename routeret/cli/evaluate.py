"""``routeret eval``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    "eval",
    cls=Command,
    examples=[
        "routeret eval --data nfcorpus --pack minilm-domains",
        "routeret eval --data sets/scifact sets/nfcorpus --download --pack minilm-domains",
        "routeret eval --data sets/* --merged --pack minilm-domains --output merged.json",
        "routeret eval --data sets/* --leave-out --split dev --pack minilm-domains",
        "routeret eval --data manuals --pack minilm-domains --chunker sentences:size=800,overlap=200",
        "routeret eval --data my-set --index kb --split dev --save-runs runs",
        "routeret eval --data my-set --pack minilm-domains --systems routed baselines query_oracle query_oracle_null",
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
@click.option("--pack", metavar="NAME", help="The pack of experts, by name or folder.")
@click.option("--index", type=options.folder, metavar="FOLDER", help="Take experts and router of an index instead.")
@options.chunker
@click.option(
    "--systems", multiple=True, metavar="NAME...", help="Which systems; the base is always one. [default: the usual]"
)
@click.option("--split", default="test", show_default=True, help="Which queries.")
@click.option(
    "--output", "output_file", type=options.folder, callback=options.existing_parent, metavar="FILE", help="Write JSON."
)
@click.option("--save-runs", type=options.folder, metavar="FOLDER", help="Write every system's runs in TREC form.")
@click.option("--cache", type=options.folder, metavar="FOLDER", help="Keep embeddings here for the next evaluation.")
@options.device
@options.as_json
def command(
    data: tuple[Path, ...],
    download: bool,
    merged: bool,
    leave_out: bool,
    pack: str | None,
    index: Path | None,
    chunker: str | None,
    systems: tuple[str, ...],
    split: str,
    output_file: Path | None,
    save_runs: Path | None,
    cache: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Measure base, experts and routing on BEIR folders.

    A set's name is its folder's name. The table shows nDCG@10 of every system, and one below it the difference of
    every system to the base over all sets and how near it comes to the oracles. The JSON has MAP, MRR@10, RP@10 and
    recall@100 too, the differences on every set with 95 % intervals and p-values, the mean weights, and the scores
    apart for queries whose relevant documents the experts were trained on and for queries that repeat none of
    train. With --chunker, a document's score is the best of its spans; an --index has the chunker that it was built
    with.

    With --leave-out, the training corpora of a set's name and source are taken out of the router, and every expert that
    was trained on one of them, or over more than 1 % of the set's documents, out of the pool: so a pack does on
    documents of somebody else.

    Only --systems measures centroid_max, centroid_kmeans, nearest_pilot, dataset_router, classifier_head,
    expert_classifiers, two_step, description, random, best_single, known_index_expert and query_oracle_null.
    "--systems baselines" measures all routers that routing is compared with; a name that there is not lists all.
    """
    if (pack is None) == (index is None):
        raise click.UsageError("Give either --pack NAME or --index FOLDER.")
    from routeret.chunking import parse_chunker
    from routeret.evaluation import evaluate, summary_text

    if download:
        from routeret.downloads import fetch_missing

        fetch_missing(data, show_progress=True)
    report = evaluate(
        data,
        pack=pack,
        index=index,
        chunker=parse_chunker(chunker) if chunker else None,
        merged=merged,
        leave_out=leave_out,
        split=split,
        systems=systems or None,
        save_runs=save_runs,
        cache=cache,
        device=device,
        show_progress=True,
    )
    if output_file:
        report.save(output_file)
    if as_json:
        output.print_json(report.to_json())
    else:
        click.echo(report.table())
        if summary := summary_text(report):
            click.echo(f"\n{summary}")
