"""Arguments and options that several commands share."""

from pathlib import Path

import click

folder = click.Path(path_type=Path)

index_folder = click.argument("index_folder", type=folder)

corpora = click.argument("corpora", metavar="CORPUS...", type=folder, nargs=-1, required=True)

as_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")

device = click.option(
    "--device", metavar="NAME", help="Where the model runs, for example cpu or cuda:1. [default: a GPU if there is one]"
)

prefix_ids = click.option("--prefix-ids", is_flag=True, help="Make every id <corpus>/<id>, for corpora that share ids.")

chunker = click.option(
    "--chunker",
    metavar="TEXT",
    help="Cut documents into spans: sentences:size=800,overlap=200 or markdown:size=1000 (characters). [default: none]",
)

storage = click.option(
    "--storage",
    type=click.Choice(["fp16", "fp32", "int8"]),
    help="Precision of the stored vectors. [default: fp16]",
)

space_fusion = click.option(
    "--space-fusion",
    type=click.Choice(["scores", "ranks"]),
    help="How rankings of experts with documents of their own are fused with the base's. [default: scores]",
)

download = click.option("--download", is_flag=True, help="Fetch a model that is not on this machine.")

filter_json = click.option(
    "--filter",
    "filter_text",
    metavar="JSON",
    help="""Only documents with this metadata, for example '{"lang": "en", "year": {"gte": 2020}}'.""",
)

disable = click.option(
    "--disable",
    metavar="NAME...",
    multiple=True,
    help="Route as if these were not there: experts, or bm25; repeatable.",
)

seed = click.option("--seed", type=int, default=0, show_default=True, help="Where chance starts.")


def existing_parent(_: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Give the path of a file to write later; refuse it now if its folder does not exist."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"folder {path.parent} does not exist; make it first", param=option)
    return path


output_file = click.option(
    "--output", "output_file", type=folder, callback=existing_parent, metavar="FILE", help="Write JSON."
)
