"""``routeret compare``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command

_WIDTH = 100


@click.command(
    cls=Command,
    examples=[
        "routeret compare runs/my-set/base.trec runs/my-set/routed.trec --data my-set",
        "routeret compare before.trec after.trec --data my-set --split dev --by recall@100",
    ],
)
@click.argument("baseline", type=options.folder)
@click.argument("run", type=options.folder)
@click.option("--data", type=options.folder, required=True, metavar="FOLDER", help="The BEIR folder with the answers.")
@click.option("--split", default="test", show_default=True, help="Which queries.")
@click.option(
    "--by",
    default="ndcg@10",
    show_default=True,
    metavar="NAME",
    help="The measure: ndcg@10, map, mrr@10, rp@10 or recall@100.",
)
@options.seed
@options.as_json
def command(baseline: Path, run: Path, data: Path, split: str, by: str, seed: int, as_json: bool) -> None:
    """Compare two runs query by query.

    Both are files in TREC form over the queries of one data set, as routeret eval --save-runs writes them; the first
    is what the second is compared with. Shown are both means, the difference with its 95 % interval, the p-value of
    the paired randomisation test, on how many queries the run is better, equal and worse, whether it is at most 0.01
    worse (by the low end of the interval), and the queries that changed most. Queries with much the same relevant
    documents count as one draw of the interval and of the test.
    """
    from routeret.evaluation import compare_files

    comparison = compare_files(run, baseline, data=data, split=split, by=by, seed=seed)
    if as_json:
        output.print_json(comparison.to_json())
        return
    click.echo(str(comparison))
    click.echo(f"Not inferior, at most 0.01 worse: {'yes' if comparison.non_inferior else 'no'}")
    if comparison.changes:
        click.echo("\nThe queries that changed most:")
    for change in comparison.changes:
        text = output.shortened(change.text, _WIDTH)
        click.echo(f"  {change.baseline:.3f} -> {change.run:.3f}  {change.query_id}  {text}")
