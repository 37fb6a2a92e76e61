"""Where the time of a build goes."""

from routeret.benchmarks.watching import Place

EMBEDDING, FULLTEXT, STRUCTURE, REST = PARTS = (
    "embedding",
    "full text",
    "search structure",
    "reading and writing",
)
"""The parts of a build; the last one is all that is none of the others."""

_PLACES: tuple[Place, ...] = (
    ("routeret.index.documents", "open_fulltext", FULLTEXT),
    ("routeret.index.optimising", "Optimiser.optimise", STRUCTURE),
)


def places_of(encoder: object) -> tuple[Place, ...]:
    """What is watched while an index is built.

    Args:
        encoder: writes its vectors.
    """
    kind = type(encoder)
    return (*_PLACES, (kind.__module__, f"{kind.__qualname__}.encode_documents", EMBEDDING))
