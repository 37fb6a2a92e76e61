"""``routeret import``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    "import",
    cls=Command,
    examples=[
        "routeret import kb-export kb2",
        "routeret import kb-export kb2 --base intfloat/e5-small-v2",
    ],
)
@click.argument("folder", type=options.folder)
@options.index_folder
@click.option("--pack", metavar="NAME", help="The pack of experts of a new index. [default: minilm-domains]")
@click.option("--base", metavar="MODEL", help="A base model of a new index, by name or folder, without experts.")
@options.storage
@options.space_fusion
@options.device
@options.download
@options.as_json
def command(
    folder: Path,
    index_folder: Path,
    pack: str | None,
    base: str | None,
    storage: str | None,
    space_fusion: str | None,
    device: str | None,
    download: bool,
    as_json: bool,
) -> None:
    """Add the documents of an export to an index without embedding them.

    FOLDER is what routeret export wrote. An index that is not there is made as routeret build makes it, with the
    chunker of the index that was exported; --pack, --base, --storage, --space-fusion, --device and --download are for
    a new index.
    """
    from routeret.building import import_index
    from routeret.fusion import require_space_fusion
    from routeret.index.row_format import require_storage

    report = import_index(
        index_folder,
        folder,
        pack=pack,
        base=base,
        storage=require_storage(storage) if storage else None,
        space_fusion=require_space_fusion(space_fusion) if space_fusion else None,
        device=device,
        download=download,
        show_progress=True,
    )
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(output.fields_text(report.as_dict()))
