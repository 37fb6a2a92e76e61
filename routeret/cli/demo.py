"""``routeret demo``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret demo --folder demo",
        'routeret search demo/kb "list the files in a zip archive"',
    ],
)
@click.option("--folder", type=options.folder, help="Keep the demo's indexes here. [default: a temporary folder]")
@options.device
@options.as_json
def command(folder: Path | None, device: str | None, as_json: bool) -> None:
    """Run the main job on the data that ships with the package.

    In about two minutes: builds one index over small corpora of several domains, compares the base with routing on
    each, answers three queries and tells why, and tunes on 100 queries of a corpus that no shipped expert knows.
    """
    from routeret.demo import run_demo

    report = run_demo(folder, device=device)
    if as_json:
        output.print_json(report.as_dict())
    else:
        click.echo(report.text())
