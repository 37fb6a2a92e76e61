"""Search over one index with several experts: what most users touch."""

from routeret.retriever.retriever import Retriever

__all__ = ["Retriever"]
