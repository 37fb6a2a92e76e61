"""Queries that an expert of an index was tuned on: they cannot judge another one."""

from collections.abc import Sequence
from pathlib import Path

from routeret.errors import InputError
from routeret.labelled import comparable
from routeret.routing import PilotLibrary
from routeret.types import LabelledQuery

_NAMED = 3


def require_new_queries(queries: Sequence[LabelledQuery], library: PilotLibrary, *, folder: Path) -> None:
    """Do nothing if no expert of an index was tuned on one of some queries; case and blanks do not tell them apart.

    What the index does now on such a query was learned from its answer. One is too many: its fold gains by what it
    knows, and how much of a mean that is depends on the others.

    Args:
        queries: that an expert is to be tuned on.
        library: the pilots of the index.
        folder: the index's.

    Raises:
        InputError: one of them is a pilot of the index itself.
    """
    for corpus in library.corpora:
        if not corpus.is_index:
            continue
        known = {comparable(text) for text in corpus.texts}
        found = list(dict.fromkeys(query.text for query in queries if comparable(query.text) in known))
        if found:
            n_found = sum(comparable(query.text) in known for query in queries)
            experts = corpus.home_experts or (corpus.name,)
            commands = "; ".join(f"routeret experts remove {folder} {name}" for name in experts)
            raise InputError(
                f"{n_found} of the {len(queries)} labelled queries taught expert {', '.join(map(repr, experts))} of "
                f"index {folder.name!r} already ({', '.join(map(repr, found[:_NAMED]))}"
                f"{', ...' if len(found) > _NAMED else ''}), so they cannot tell what another one adds; remove it "
                f"first ({commands}), or leave these queries out"
            )
