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

seed = click.option("--seed", type=int, default=0, show_default=True, help="Where chance starts.")


def existing_parent(_: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Give the path of a file to write later; refuse it now if its folder does not exist."""
    if path is not None and not path.parent.is_dir():
        raise click.BadParameter(f"folder {path.parent} does not exist; make it first", param=option)
    return path
