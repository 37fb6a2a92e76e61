"""``routeret suite``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    "suite",
    cls=Command,
    examples=[
        "routeret suite eval/suites/routerretriever.toml --output routerretriever.json",
        "routeret suite eval/suites/routerretriever.toml --split dev --output dev.json",
        "routeret suite eval/suites/beir.toml --download --output beir.json",
    ],
)
@click.argument("file", type=options.folder)
@click.option("--split", help="Which queries, in place of the file's choice.")
@click.option("--download", is_flag=True, help="Fetch public BEIR sets whose folders are not there.")
@click.option("--rebuild", is_flag=True, help="Build the pack again, in place of the one that is there.")
@options.output_file
@options.device
@options.as_json
def command(
    file: Path,
    split: str | None,
    download: bool,
    rebuild: bool,
    output_file: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Run an experiment from one file: build its pack, measure it.

    FILE is TOML: a pack or its recipe, the data sets and systems to measure, and a work folder. A recipe's pack is
    built if it is not in the work folder; a later call takes the one that is there, and refuses it if the recipe or the
    data have changed since. With several seeds in FILE, a pack is built from each, and means have their spread. The
    JSON holds one report a setting, the suite's name and the checksum of its file.
    """
    from routeret.evaluation.suite import run_suite

    report = run_suite(
        file,
        split=split,
        download=download,
        rebuild=rebuild,
        device=device,
        say=lambda news: click.echo(news, err=True),
        show_progress=True,
    )
    if output_file:
        report.save(output_file)
    if as_json:
        output.print_json(report.to_json())
    else:
        click.echo(report.tables())
