"""``routeret search``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command
from routeret.types import BASE


@click.command(
    cls=Command,
    examples=[
        'routeret search kb "how do I undo my last commit?"',
        'routeret search kb "undo commit" -k 3 --base-only',
        'routeret search kb "undo commit" --disable finance bm25',
        """routeret search kb "how do I undo my last commit?" --filter '{"lang": "en", "year": {"gte": 2020}}'""",
        "routeret search kb --queries questions.txt --json",
    ],
)
@options.index_folder
@click.argument("query", required=False)
@click.option("-k", "k", type=click.IntRange(min=1), default=10, show_default=True, help="How many documents.")
@options.filter_json
@click.option("--expert", metavar="NAME", help="Use this expert alone instead of routing: one of the pool, or bm25.")
@options.disable
@click.option("--base-only", is_flag=True, help="Use the base model alone instead of routing.")
@click.option("--queries", type=options.folder, metavar="FILE", help="Search every query of a file instead.")
@options.device
@options.as_json
def command(
    index_folder: Path,
    query: str | None,
    k: int,
    filter_text: str | None,
    expert: str | None,
    disable: tuple[str, ...],
    base_only: bool,
    queries: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Search an index and tell how the query was routed.

    A filter is exact: the documents found are the best among those that match it.

    A file of queries holds one query a line, or JSON lines with "query" or "text". JSON for one query is an object
    with "hits" and "routing"; for a file it is a list of such objects.
    """
    if (query is None) == (queries is None):
        raise click.UsageError("Give either a query or --queries FILE.")
    if expert and base_only:
        raise click.UsageError("Give either --expert or --base-only.")
    from routeret.filters import read_filter
    from routeret.retriever import Retriever

    texts = [query or ""] if queries is None else _read(queries)
    with Retriever.open(index_folder, device=device) as retriever:
        found = retriever.search_batch(
            texts,
            k,
            filter=None if filter_text is None else read_filter(filter_text),
            expert=BASE if base_only else expert,
            disable=disable,
            show_progress=queries is not None,
        )
    if as_json:
        values = [hits.as_dict() for hits in found]
        output.print_json(values if queries else values[0])
    elif queries:
        click.echo("\n\n".join(f"{hits.query}\n{output.hits_text(hits)}" for hits in found))
    else:
        click.echo(output.hits_text(found[0]))


def _read(queries: Path) -> list[str]:
    from routeret.labelled import read_queries

    return read_queries(queries)
