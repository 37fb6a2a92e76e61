"""What the demo did, as values and as text for a terminal."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill, indent
from typing import Any

from routeret.evaluation import Report
from routeret.evaluation.layout import Table, aligned, signed
from routeret.training.tuning import TuneReport
from routeret.types import BASE, LEXICAL, Hits, Routing

KB = "kb"
"""The folder of the index of all domains, inside the demo's folder."""

_WIDTH = 100
_SHOWN_WEIGHT = 0.05
_SHOWN_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Answer:
    """One example query.

    Attributes:
        routed: what the retriever finds, and how it routed the query.
        base: what the base alone finds.
    """

    routed: Hits
    base: Hits

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**self.routed.as_dict(), "base_hits": [hit.as_dict() for hit in self.base]}


@dataclass(frozen=True, slots=True)
class Tuning:
    """Tuning on labelled queries of a corpus that no expert knows.

    Attributes:
        corpus: its name.
        n_documents: how many it holds.
        report: what tuning decided, and why.
        n_test_queries: other queries of the corpus, which took no part in tuning.
        test_before: their mean nDCG@10 before.
        test_after: the same after; equal if nothing was installed.
    """

    corpus: str
    n_documents: int
    report: TuneReport
    n_test_queries: int
    test_before: float
    test_after: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        test = {"n_queries": self.n_test_queries, "before": self.test_before, "after": self.test_after}
        return {"corpus": self.corpus, "n_documents": self.n_documents, **self.report.as_dict(), "test": test}


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo did.

    Attributes:
        folder: where its two indexes were kept; None if they were removed.
        n_documents: how many documents the index of all domains holds.
        experts: their names.
        build_seconds: time for embedding and writing them.
        evaluation: every domain's test queries against that index.
        answers: one an example query.
        tuning: what tuning on another corpus did.
        seconds: of everything.
    """

    folder: Path | None
    n_documents: int
    experts: tuple[str, ...]
    build_seconds: float
    evaluation: Report
    answers: tuple[Answer, ...]
    tuning: Tuning
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "folder": None if self.folder is None else str(self.folder),
            "n_documents": self.n_documents,
            "experts": list(self.experts),
            "build_seconds": self.build_seconds,
            "evaluation": self.evaluation.to_json(),
            "answers": [answer.as_dict() for answer in self.answers],
            "tuning": self.tuning.as_dict(),
            "seconds": self.seconds,
        }

    def text(self) -> str:
        """The report for a terminal."""
        parts = [self._evaluation_text(), self._answers_text(), _tuning_text(self.tuning), self._next_text()]
        return "\n\n".join(parts)

    def _evaluation_text(self) -> str:
        n_domains = len(self.evaluation.datasets)
        return "\n".join(
            [
                _heading(f"1. One index, {n_domains} domains"),
                _words(
                    f"{self.n_documents} documents were embedded once, in {self.build_seconds:.0f} s. Every domain's "
                    f"test queries search all of them; nobody tells which domain a query belongs to. nDCG@10:"
                ),
                "",
                aligned(self.evaluation.values()),
                "",
                "base           the base model alone",
                "hybrid         base and BM25, at one weight for all queries",
                "average        mean of the base's and the multi-task expert's query vector, without routing",
                "routed         base and experts, weighed anew for every query",
                "routed_hybrid  the same with BM25: what a search does by default",
            ]
        )

    def _answers_text(self) -> str:
        heading = _heading(f"2. {len(self.answers)} queries, and why they were answered so")
        words = _words(
            "The query vector is a mixture. weight: the share of the base or of an expert in it; strength: how far the "
            "expert turns the query; gain: predicted change of nDCG@10 against the base; known hits: how many of the "
            "base's first hits are documents that the expert was trained over."
        )
        return "\n\n".join([f"{heading}\n{words}", *(_answer_text(answer) for answer in self.answers)])

    def _next_text(self) -> str:
        if self.folder is None:
            steps = [("routeret demo --folder demo", "keep the demo's indexes")]
        else:
            kb = self.folder / KB
            steps = [(f'routeret search {kb} "{self.answers[0].routed.query}"', "search the demo's index")]
        steps += [
            ("routeret build my-kb docs.jsonl", "make an index of your own"),
            ('routeret search my-kb "your query"', "search it"),
            ("routeret tune my-kb --queries labelled.jsonl", "fit an expert to your own queries"),
        ]
        width = max(len(command) for command, _ in steps)
        lines = [f"  {command:<{width}}  {meaning}" for command, meaning in steps]
        return "\n".join([_heading("4. What next"), *lines, "", f"All of this took {self.seconds:.0f} s."])


def _answer_text(answer: Answer) -> str:
    routing = answer.routed.routing
    found = [_hit_line(rank, hit.id, hit.title or hit.text) for rank, hit in enumerate(answer.routed, start=1)]
    lines = [f'"{answer.routed.query}"', *found]
    first, base_first = answer.routed[:1], answer.base[:1]
    if first and base_first and first[0].id != base_first[0].id:
        lines.append(f"  the base alone would put {base_first[0].id} first")
    return "\n".join([*lines, "", indent(_routing_text(routing), "  ")])


def _hit_line(rank: int, document_id: str, text: str) -> str:
    return _cut(f"  {rank}. {document_id}  {text}")


def _routing_text(routing: Routing) -> str:
    """What the query vector is mixed of, as a table, then what that comes from."""
    weights = {name: weight for name, weight in routing.weights.items() if name != LEXICAL}
    shown = [name for name, weight in weights.items() if weight >= _SHOWN_WEIGHT]
    rows = [
        (
            name,
            f"{weights[name]:.2f}",
            None if name == BASE else f"{routing.strengths[name]:.2f}",
            None if name == BASE else signed(routing.predicted_gains[name]),
            None if name == BASE else f"{routing.known_documents[name]:.0%}",
        )
        for name in shown
    ]
    n_others = len(weights) - len(shown)
    if n_others:
        rest = sum(weight for name, weight in weights.items() if name not in shown)
        rows.append((f"{n_others} more", f"{rest:.2f}", None, None, None))
    header = ("query vector", "weight", "strength", "gain", "known hits")
    held = f"held back: {routing.reason}" if routing.held_back else routing.reason or "not held back"
    corpora = ", ".join(f"{name} {share:.2f}" for name, share in routing.corpora.items() if share >= _SHOWN_SHARE)
    lines = [
        aligned(Table(header=header, rows=tuple(rows))),
        f"beside it {LEXICAL} {routing.weights.get(LEXICAL, 0.0):.2f}; margin {routing.margin:.3f}; {held}",
        f"likeliest corpora: {corpora or 'none'}",
        *(_cut(f"near pilot {pilot.similarity:.2f} {pilot.corpus}: {pilot.text}") for pilot in routing.pilots),
    ]
    return "\n".join(lines)


def _tuning_text(tuning: Tuning) -> str:
    report = tuning.report
    rows = (
        (f"cross-validation on the {report.n_queries} queries", report.before, report.after),
        (f"{tuning.n_test_queries} test queries, not used for tuning", tuning.test_before, tuning.test_after),
    )
    changes = tuple((name, before, after, signed(after - before)) for name, before, after in rows)
    verdict = "Installed" if report.installed else "Not installed"
    return "\n".join(
        [
            _heading("3. An expert of your own, from 100 queries"),
            _words(
                f"{tuning.corpus} plays your own corpus: {tuning.n_documents} documents that no shipped expert was "
                f"trained on, and {report.n_queries} queries whose relevant documents are known."
            ),
            "",
            aligned(Table(header=("nDCG@10", "before", "after", "change"), rows=changes)),
            "",
            _words(f"{verdict}: {report.reason}"),
            f"p = {report.p_value:.3f} by cross-validation; {report.seconds:.1f} s; no document was embedded again.",
            "The expected gain weighs this cross-validation against what tuning gained on other corpora.",
        ]
    )


def _heading(text: str) -> str:
    return f"{text}\n{'=' * len(text)}"


def _words(text: str) -> str:
    return fill(text, _WIDTH)


def _cut(text: str) -> str:
    line = text.rstrip().replace("\n", " ")
    return line if len(line) <= _WIDTH else f"{line[: _WIDTH - 1].rstrip()}…"
