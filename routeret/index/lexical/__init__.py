"""Full text: BM25 over titles and texts, derived from an index's documents."""

from routeret.index.lexical.folder import build, covered_of, update
from routeret.index.lexical.fulltext import Fulltext, Matches
from routeret.index.lexical.manifest import Covered
from routeret.index.lexical.tokens import PARAMETERS
from routeret.index.lexical.verifying import verify

__all__ = ["PARAMETERS", "Covered", "Fulltext", "Matches", "build", "covered_of", "update", "verify"]
