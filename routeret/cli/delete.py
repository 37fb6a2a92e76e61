"""``routeret delete``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret delete kb faq-17 faq-18",
        "routeret delete kb --ids-from old.txt",
        """routeret delete kb --filter '{"year": {"lt": 2020}}' --dry-run""",
    ],
)
@options.index_folder
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--ids-from", type=options.folder, metavar="FILE", help="Read ids from a file, one a line.")
@options.filter_json
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only tell how many documents would be removed.")
@options.as_json
def command(
    index_folder: Path,
    ids: tuple[str, ...],
    ids_from: Path | None,
    filter_text: str | None,
    is_dry_run: bool,
    as_json: bool,
) -> None:
    """Remove documents from an index.

    They are named by their ids or by a filter on their metadata, and searches do not find them from then on. If one id
    is unknown, nothing is removed. Their room on the disk is given back by: routeret compact INDEX_FOLDER.
    """
    named = bool(ids or ids_from)
    if named == (filter_text is not None):
        raise click.UsageError("Give either ids (as arguments or by --ids-from FILE) or --filter JSON.")
    from routeret.building import delete_documents, read_ids
    from routeret.filters import read_filter

    report = delete_documents(
        index_folder,
        [*ids, *(read_ids(ids_from) if ids_from else [])] if named else None,
        filter=None if filter_text is None else read_filter(filter_text),
        is_dry_run=is_dry_run,
    )
    removed, left = output.documents_text(report.removed), output.documents_text(report.n_documents)
    if as_json:
        output.print_json(report.as_dict())
    elif report.is_dry_run:
        click.echo(f"Would remove {removed}; {left} would be left. Nothing was changed.")
    else:
        click.echo(f"Removed {removed}; {left} left.")
