"""``routeret build``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret build kb docs.jsonl",
        "routeret build kb science/ health/ --prefix-ids",
        "routeret build kb manuals/ --chunker sentences:size=800,overlap=200",
        "routeret build kb docs.jsonl --tune",
        "routeret build kb docs.jsonl --base intfloat/e5-small-v2 --download",
    ],
)
@options.index_folder
@options.corpora
@click.option("--pack", metavar="NAME", help="The pack of experts, by name or folder. [default: minilm-domains]")
@click.option(
    "--base", metavar="MODEL", help="A base model by name or folder, without experts; with --pack: where its base is."
)
@options.chunker
@options.storage
@options.space_fusion
@options.prefix_ids
@click.option("--tune", is_flag=True, help="Learn from the documents how queries are turned: routeret tune --help.")
@options.device
@options.download
@options.as_json
def command(
    index_folder: Path,
    corpora: tuple[Path, ...],
    pack: str | None,
    base: str | None,
    chunker: str | None,
    storage: str | None,
    space_fusion: str | None,
    prefix_ids: bool,
    tune: bool,
    device: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Build an index over corpora.

    A corpus is a BEIR folder, JSON lines (.jsonl, .jsonl.gz) with id, title and text, CSV with these columns, or a
    folder of .txt and .md files. All corpora are read once before anything is written: a broken line or an id that
    comes twice stops the build and is named. The folder is new and appears when the
    index is whole. A build that was interrupted goes on where it stopped when the same command is run again.
    The first build with a model on a machine also exports the graph that runs its queries: routeret warm --help.
    """
    from routeret.building import build_index
    from routeret.chunking import parse_chunker
    from routeret.fusion import require_space_fusion
    from routeret.index.row_format import require_storage

    report = build_index(
        index_folder,
        corpora,
        pack=pack,
        base=base,
        chunker=parse_chunker(chunker) if chunker else None,
        storage=require_storage(storage or "fp16"),
        space_fusion=require_space_fusion(space_fusion or "scores"),
        prefix_ids=prefix_ids,
        tune=tune,
        prepare=True,
        device=device,
        download=download,
        show_progress=True,
    )
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
        click.echo(f'\nSearch it: routeret search {index_folder} "your question"')
