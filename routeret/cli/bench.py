"""``routeret bench``."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from routeret.cli import options, output
from routeret.cli.command import Command, Group


def _sizes(_: click.Context, option: click.Parameter, text: str) -> list[int]:
    """Whole numbers, separated by commas."""
    parts = _names(text)
    if not all(part.isdecimal() for part in parts):
        raise click.BadParameter(f"{text!r} is not a list of whole numbers like 10000,100000", param=option)
    return [int(part) for part in parts]


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _show(report: dict[str, Any], render: Callable[[dict[str, Any]], str], *, as_json: bool) -> None:
    if as_json:
        output.print_json(report)
    else:
        click.echo(render(report))


def _sets(words: str) -> Callable[[Any], Any]:
    """The option for the data sets of a benchmark that needs some."""
    return click.option(
        "--corpus",
        "corpora",
        type=options.folder,
        multiple=True,
        required=True,
        metavar="FOLDER...",
        help=words,
    )


_sides = click.option(
    "--sides",
    default=None,
    metavar="NAME,NAME...",
    help="What is measured beside sentence-transformers. [default: all]",
)
_peers = click.option(
    "--peers",
    type=options.folder,
    metavar="PYTHON",
    help="An interpreter that has what cannot be installed beside routeret.",
)


_device = click.option(
    "--device", default="cpu", show_default=True, metavar="NAME", help="Where models run, for example cuda."
)
_peak = click.option(
    "--peak-tflops",
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    help="What the device does at most, in TFLOP/s; the report tells the share.",
)


@click.group("bench", cls=Group)
def command() -> None:
    """Measure the index and its queries on this machine, beside others."""


@command.command(
    cls=Command,
    examples=[
        "routeret bench index --sizes 10000 --stores flat",
        "routeret bench index --sizes 10000,100000,1000000 --corpus sets/* --vectors kb --output bench.json",
    ],
)
@click.option(
    "--sizes",
    default="",
    callback=_sizes,
    metavar="N,N...",
    help="Numbers of synthetic documents, each measured apart.",
)
@click.option(
    "--corpus",
    "corpora",
    type=options.folder,
    multiple=True,
    metavar="FOLDER...",
    help="BEIR folders, measured together with ids <folder>/<id>; repeatable.",
)
@click.option(
    "--vectors",
    type=options.folder,
    metavar="FOLDER",
    help="An export or an index that holds the corpora's vectors. [default: embed them]",
)
@click.option(
    "--stores",
    default="flat,lancedb,chroma",
    show_default=True,
    metavar="NAME,NAME...",
    help="What is measured beside the index; an empty text is nothing.",
)
@options.seed
@options.device
@click.option("--work", type=options.folder, metavar="FOLDER", help="Where data and stores stand meanwhile.")
@options.output_file
@options.as_json
def index(
    sizes: list[int],
    corpora: tuple[Path, ...],
    vectors: Path | None,
    stores: str,
    seed: int,
    device: str | None,
    work: Path | None,
    output_file: Path | None,
    as_json: bool,
) -> None:
    """Measure building, opening, searching, filtering and changing an index.

    Other stores hold the same vectors and answer the same queries in the same run. A million documents take up to an
    hour and 8 GB of disk. A model runs for the queries of corpora and, without --vectors, for their documents; the
    stores themselves are measured on the CPU.
    """
    if not sizes and not corpora:
        raise click.UsageError("Give --sizes N,N... or --corpus FOLDER, or both.")
    from routeret.benchmarks import bench_index, render

    report = bench_index(
        sizes,
        corpora,
        stores=_names(stores),
        vectors=vectors,
        seed=seed,
        device=device,
        work=work,
        output=output_file,
        show_progress=True,
    )
    _show(report, render, as_json=as_json)


@command.command(
    cls=Command,
    examples=[
        "routeret bench query --corpus sets/* --output bench.json",
        "routeret bench query --corpus sets/nfcorpus --sides peft,base,routed,lora --queries 200",
        "routeret bench query --corpus sets/* --index kb --peers peers/bin/python --requests 10000",
        "routeret bench query --corpus sets/* --device cuda --peak-tflops 989",
    ],
)
@_sets("BEIR folders whose queries are asked; repeatable.")
@click.option(
    "--index",
    "index_folder",
    type=options.folder,
    metavar="FOLDER",
    help="An index that holds their documents with ids <folder>/<id>. [default: build one]",
)
@_sides
@click.option(
    "--queries", "n_queries", type=click.IntRange(min=1), default=300, show_default=True, help="Asked one by one."
)
@click.option(
    "--requests",
    "n_requests",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Made by several threads at once.",
)
@click.option("--threads", type=click.IntRange(min=1), default=8, show_default=True, help="How many those are.")
@_device
@_peak
@_peers
@options.output_file
@options.as_json
def query(
    corpora: tuple[Path, ...],
    index_folder: Path | None,
    sides: str | None,
    n_queries: int,
    n_requests: int,
    threads: int,
    device: str,
    peak_tflops: float | None,
    peers: Path | None,
    output_file: Path | None,
    as_json: bool,
) -> None:
    """Measure what one query costs, beside other ways to run the same model.

    All sides answer the same queries in turn, each in a process of its own. Threads, memory, the start of a search from
    the shell and the parts of a query are measured too. The sides: sentence-transformers loaded in bfloat16
    (plain-bfloat16), with its ONNX backend (onnx-float32, onnx-int8) or with PEFT adapters (peft), fastembed; and
    routeret with the base alone (torch, float32, int8, base), routed, with BM25 (hybrid), or with LoRA experts (lora).
    On a GPU those are measured that run there: plain-bfloat16, peft, base, routed, hybrid and lora.

    sentence-transformers' ONNX backend and fastembed need older libraries than routeret: install
    'sentence-transformers[onnx]', fastembed, faiss-cpu and numkong into an environment of their own, and give its
    interpreter with --peers. Without it these sides are left out, and the report says why.
    """
    from routeret.benchmarks import bench_queries, render_queries
    from routeret.benchmarks.queries.sides.registry import SIDES

    report = bench_queries(
        corpora,
        index=index_folder,
        sides=tuple(SIDES) if sides is None else _names(sides),
        n_queries=n_queries,
        n_requests=n_requests,
        threads=threads,
        device=device,
        peak_tflops=peak_tflops,
        peers=peers,
        output=output_file,
        show_progress=True,
    )
    _show(report, render_queries, as_json=as_json)


@command.command(
    cls=Command,
    examples=[
        "routeret bench build --corpus sets/*",
        "routeret bench build --corpus sets/nfcorpus --sides float32,auto --documents 256",
        "routeret bench build --corpus sets/* --documents 4096 --peers peers/bin/python --output bench.json",
        "routeret bench build --corpus sets/* --documents 16384 --device cuda --peak-tflops 989",
    ],
)
@_sets("BEIR folders whose documents are embedded, the same number of each; repeatable.")
@click.option("--base", metavar="MODEL", help="The model, by name or folder. [default: all-MiniLM-L6-v2]")
@_sides
@click.option(
    "--documents",
    "n_documents",
    type=click.IntRange(min=1),
    help="How many are embedded, at most. [default: 512]",
)
@options.seed
@_device
@_peak
@_peers
@options.output_file
@options.as_json
def build(
    corpora: tuple[Path, ...],
    base: str | None,
    sides: str | None,
    n_documents: int | None,
    seed: int,
    device: str,
    peak_tflops: float | None,
    peers: Path | None,
    output_file: Path | None,
    as_json: bool,
) -> None:
    """Measure what building an index costs, beside other ways to embed the same texts.

    All sides embed the same blocks of documents in turn, each in a process of its own; their vectors are compared, and
    what dev queries find with them. Then whole builds: an index with texts and full text, beside
    SentenceTransformer.encode into a faiss file. The sides: sentence-transformers loaded in bfloat16 (plain-bfloat16)
    or with its ONNX backend (onnx-float32, onnx-int8), fastembed; and routeret by PyTorch (float32, or auto: bfloat16
    where the device has it) or by OpenVINO where it is installed (openvino). On a GPU those are measured that run
    there: plain-bfloat16, float32 and auto.

    For sentence-transformers' ONNX backend and fastembed give --peers: routeret bench query --help.
    """
    from routeret.benchmarks import bench_builds, render_builds
    from routeret.benchmarks.building.running import DEFAULT_DOCUMENTS
    from routeret.benchmarks.building.sides.registry import SIDES
    from routeret.encoders import DEFAULT_BASE

    report = bench_builds(
        corpora,
        base=base or DEFAULT_BASE,
        sides=tuple(SIDES) if sides is None else _names(sides),
        n_documents=n_documents or DEFAULT_DOCUMENTS,
        seed=seed,
        device=device,
        peak_tflops=peak_tflops,
        peers=peers,
        output=output_file,
        show_progress=True,
    )
    _show(report, render_builds, as_json=as_json)
