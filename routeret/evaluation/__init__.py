"""How well systems retrieve: reports, comparisons and the tables made from them."""

from routeret.evaluation.assemble import assemble_dataset, evaluate_runs
from routeret.evaluation.compare import Comparison, compare, compare_files
from routeret.evaluation.dataset_report import DatasetReport, Difference, Regret, Stratum
from routeret.evaluation.evaluating import evaluate
from routeret.evaluation.provenance import Provenance
from routeret.evaluation.report import Report
from routeret.evaluation.summary import summary_text
from routeret.evaluation.table import is_stale, render, update_document

__all__ = [
    "Comparison",
    "DatasetReport",
    "Difference",
    "Provenance",
    "Regret",
    "Report",
    "Stratum",
    "assemble_dataset",
    "compare",
    "compare_files",
    "evaluate",
    "evaluate_runs",
    "is_stale",
    "render",
    "summary_text",
    "update_document",
]
