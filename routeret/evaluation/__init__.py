"""How well systems retrieve: reports, comparisons and the tables made from them."""

from routeret.evaluation.assemble import assemble_dataset, evaluate_runs
from routeret.evaluation.compare import Comparison, compare, compare_files
from routeret.evaluation.dataset_report import DatasetReport, Difference, Regret, Stratum
from routeret.evaluation.evaluating import evaluate, evaluate_seeds
from routeret.evaluation.layout import markdown
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import Report
from routeret.evaluation.seeds import SeedsReport, Spread
from routeret.evaluation.set_by_set import SetDifference, SystemPair
from routeret.evaluation.settings import EvaluationSettings
from routeret.evaluation.summary import summary_text
from routeret.evaluation.table import is_stale, means, render, update_document

__all__ = [
    "Comparison",
    "DatasetReport",
    "Difference",
    "EvaluationSettings",
    "Provenance",
    "Regret",
    "Report",
    "SeedsReport",
    "SetDifference",
    "Spread",
    "Stratum",
    "SystemPair",
    "assemble_dataset",
    "compare",
    "compare_files",
    "evaluate",
    "evaluate_runs",
    "evaluate_seeds",
    "is_stale",
    "markdown",
    "means",
    "render",
    "summary_text",
    "update_document",
]
