"""Runs the demo: one index of seven domains, routing measured and explained, tuning on a corpus of one's own."""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from routeret.building import build_index
from routeret.demo.report import KB, Answer, DemoReport, Tuning
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.labelled import labelled_queries_of
from routeret.measures import NDCG
from routeret.packs import DEFAULT_PACK
from routeret.retriever import Retriever
from routeret.retriever.folder import new_or_empty
from routeret.types import BASE

DEMO_DATA = Path(__file__).parents[1] / "demo_data"
"""Small cuts of data sets of seven domains, and of one that no shipped expert was trained on."""

OWN_CORPUS = "tatqa"
"""The corpus that plays the user's own."""

QUERIES = (
    "my new card still has not arrived",
    "list the processes that have a file open",
    "is dementia passed on in families?",
)
"""Queries of three domains, none of which says where to look."""

_SYSTEMS = ("base", "hybrid", "average", "routed", "routed_hybrid")
_K = 3


def run_demo(
    folder: Path | None = None,
    *,
    pack: str | Path = DEFAULT_PACK,
    device: str | None = None,
    show_progress: bool = True,
) -> DemoReport:
    """Build, evaluate, explain and tune on the data inside the package; about two minutes on two cores.

    Args:
        folder: keep the indexes there, as ``kb`` and ``tatqa``; must not exist, or be empty. None removes them.
        pack: experts and router, by name or folder.
        device: where the model runs.
        show_progress: draw progress bars on stderr.

    Raises:
        ArtifactError: something is in ``folder`` already, or the pack is damaged.
        InputError: there is no such pack.
    """
    start = time.perf_counter()
    own = DEMO_DATA / OWN_CORPUS
    domains = sorted(path for path in DEMO_DATA.iterdir() if path.is_dir() and path != own)
    with _working_folder(folder) as working:
        kb = working / KB
        built = build_index(kb, domains, pack=pack, prefix_ids=True, device=device, show_progress=show_progress)
        evaluation = evaluate(
            domains,
            index=kb,
            settings=EvaluationSettings(merged=True, systems=_SYSTEMS),
            device=device,
            show_progress=show_progress,
        )
        with Retriever.open(kb, device=device) as retriever:
            experts = retriever.expert_names
            answers = _answers(retriever, QUERIES)
        tuning = _tune(working / OWN_CORPUS, own, pack=pack, device=device, show_progress=show_progress)
    return DemoReport(
        folder=folder,
        n_documents=built.n_documents,
        experts=experts,
        build_seconds=built.seconds,
        evaluation=evaluation,
        answers=answers,
        tuning=tuning,
        seconds=round(time.perf_counter() - start, 1),
    )


@contextmanager
def _working_folder(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="routeret-demo-") as temporary:
            yield Path(temporary)
    else:
        with new_or_empty(folder) as working:
            yield working


def _answers(retriever: Retriever, queries: Sequence[str]) -> tuple[Answer, ...]:
    routed = retriever.search_batch(queries, _K)
    base = retriever.search_batch(queries, _K, expert=BASE)
    return tuple(Answer(routed=ours, base=theirs) for ours, theirs in zip(routed, base, strict=True))


def _tune(index: Path, data: Path, *, pack: str | Path, device: str | None, show_progress: bool) -> Tuning:
    """Build an index of one corpus, tune it with its train queries, and measure its test queries before and after."""
    built = build_index(index, [data], pack=pack, device=device, show_progress=show_progress)

    def measured() -> tuple[int, float]:
        report = evaluate(
            [data],
            index=index,
            settings=EvaluationSettings(systems=["routed_hybrid"]),
            device=device,
            show_progress=show_progress,
        )
        values = report.mean["routed_hybrid"]
        return report.datasets[data.name].n_queries, values[NDCG] if values else 0.0

    n_queries, before = measured()
    with Retriever.open(index, device=device) as retriever:
        tuned = retriever.tune(labelled_queries_of(data, split="train"), show_progress=show_progress)
    after = measured()[1] if tuned.installed else before
    return Tuning(
        corpus=data.name,
        n_documents=built.n_documents,
        report=tuned,
        n_test_queries=n_queries,
        test_before=before,
        test_after=after,
    )
