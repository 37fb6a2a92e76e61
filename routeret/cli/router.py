"""``routeret router``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group


@click.group("router", cls=Group)
def command() -> None:
    """Look at the router of an index or of a pack."""


@command.command(
    cls=Command,
    examples=[
        "routeret router report kb",
        "routeret router report minilm-domains --plots pictures",
    ],
)
@click.argument("index_or_pack", type=options.folder)
@click.option("--plots", type=options.folder, metavar="FOLDER", help="Write a reliability diagram and the gains there.")
@options.as_json
def report(index_or_pack: Path, plots: Path | None, as_json: bool) -> None:
    """Tell what a router has learned, and how far it is to be believed.

    Shown are the gains of every expert on every training corpus, and, with every corpus left out once, whether the
    chance that an expert helps comes true: expected calibration error (0 is perfect), Brier skill (above 0 is better
    than always saying the same), area under the ROC curve (0.5 is a coin). No model is loaded.
    """
    from routeret.cli.router_text import router_text
    from routeret.drawing import require_drawing
    from routeret.retriever.finding_router import find_router
    from routeret.routing.plots import draw_router
    from routeret.routing.report import report_of

    if plots is not None:
        require_drawing()
    found = report_of(find_router(index_or_pack))
    files = [] if plots is None else draw_router(found, plots)
    if as_json:
        output.print_json({**found.as_dict(), "plots": [str(file) for file in files]})
        return
    click.echo(router_text(found))
    for file in files:
        click.echo(f"Wrote {file}")
