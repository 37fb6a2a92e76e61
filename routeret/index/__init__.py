"""Documents in one space: a store, memory-mapped vectors, search structures and full text."""

from routeret.index.adding import AddReport
from routeret.index.index import Index

__all__ = ["AddReport", "Index"]
