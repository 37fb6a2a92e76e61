"""How well systems retrieve: reports, comparisons and the tables made from them."""

from routeret.evaluation.assemble import assemble_dataset, evaluate_runs
from routeret.evaluation.compare import Comparison, compare
from routeret.evaluation.evaluating import evaluate
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import DatasetReport, Difference, Report, Stratum
from routeret.evaluation.table import is_stale, render, update_document

__all__ = [
    "Comparison",
    "DatasetReport",
    "Difference",
    "Provenance",
    "Report",
    "Stratum",
    "assemble_dataset",
    "compare",
    "evaluate",
    "evaluate_runs",
    "is_stale",
    "render",
    "update_document",
]
