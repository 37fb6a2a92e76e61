"""``routeret doctor``."""

from pathlib import Path

import click

from routeret.cli import options, output
from routeret.cli.command import Command


@click.command(
    cls=Command,
    examples=[
        "routeret doctor kb --queries last-week.txt",
        "routeret doctor kb --queries clicks.jsonl --plots pictures",
    ],
)
@options.index_folder
@click.option("--queries", type=options.folder, required=True, metavar="LOG", help="The queries, see above.")
@click.option("--plots", type=options.folder, metavar="FOLDER", help="Write pictures of weights and likeness there.")
@options.seed
@options.device
@options.as_json
def command(
    index_folder: Path, queries: Path, plots: Path | None, seed: int, device: str | None, as_json: bool
) -> None:
    """Tell from a query log how the experts of an index do.

    Shown are the weights of the experts, which of them never act, which of them harm, and which queries match no
    expert; each with what to do about it. Below stands how well each expert fits the documents, as routeret experts
    list --fit shows it. Nothing in the index changes.

    The log holds one query a line, or, in a file that ends in .jsonl, objects like {"query": "lost my card"}. With the
    documents that are right, as in {"query": "lost my card", "relevant": ["faq-17"]}, or with "clicked" in place of
    "relevant", the search is also measured without each expert. Lines without documents may stand among them.
    """
    from routeret.cli.diagnosis_text import diagnosis_text
    from routeret.cli.experts import fit_text
    from routeret.doctor import diagnose, draw, read_log
    from routeret.drawing import require_drawing
    from routeret.retriever import Retriever

    if plots is not None:
        require_drawing()
    log = read_log(queries)
    with Retriever.open(index_folder, device=device) as retriever:
        diagnosis = diagnose(retriever, log, seed=seed, show_progress=True)
        fits = retriever.expert_fits()
    files = [] if plots is None else draw(diagnosis, plots)
    if as_json:
        shown = {"fits": [fit.as_dict() for fit in fits], "plots": [str(file) for file in files]}
        output.print_json({**diagnosis.to_json(), **shown})
        return
    click.echo("\n".join([diagnosis_text(diagnosis), "", *map(fit_text, fits)]))
    for file in files:
        click.echo(f"Wrote {file}")
