"""Documents cut into spans, which are the rows of an index, and documents scored by their spans."""

from routeret.chunking.aggregation import Aggregation, DocumentScores, aggregate
from routeret.chunking.chunker import Chunker, Span, checked_spans, fingerprint_of, require_same_chunker
from routeret.chunking.function import CallableChunker
from routeret.chunking.markdown import MarkdownHeadings
from routeret.chunking.parsing import chunker_from_dict, parse_chunker
from routeret.chunking.sentences import SentenceWindows
from routeret.chunking.whole import WholeText

__all__ = [
    "Aggregation",
    "Chunker",
    "CallableChunker",
    "DocumentScores",
    "MarkdownHeadings",
    "SentenceWindows",
    "Span",
    "WholeText",
    "aggregate",
    "checked_spans",
    "chunker_from_dict",
    "fingerprint_of",
    "parse_chunker",
    "require_same_chunker",
]
