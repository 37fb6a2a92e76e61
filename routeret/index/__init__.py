"""Documents in one or several spaces: a store, memory-mapped vectors, search structures and full text."""

from routeret.index.exporting import Exported
from routeret.index.index import Index
from routeret.index.reports import ChangeReport
from routeret.index.verifying import Damage

__all__ = ["ChangeReport", "Damage", "Exported", "Index"]
