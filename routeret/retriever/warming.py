"""Preparing a machine for searching, so that no query waits for what is done once."""

from collections.abc import Iterator

from routeret.encoders import OnnxEncoder
from routeret.retriever.pool import Pool


def prepare_graphs(pool: Pool) -> list[str]:
    """Export the graph of every model whose queries a graph can run, unless this machine has it.

    Returns:
        The models whose queries are run by a graph now, the base first.

    Raises:
        MissingExtraError: a library for exporting is not installed.
    """
    encoders = [pool.base, *(tower.encoder for tower in pool.tower_by_name.values())]
    return [str(encoder.folder) for encoder in encoders if isinstance(encoder, OnnxEncoder) and encoder.prepare()]


def first_searches(pool: Pool) -> Iterator[str | None]:
    """What a first query has to be asked of so that all is loaded: every expert with a pass of its own, and the router.

    Yields:
        The name of an expert; None for the router.
    """
    yield from sorted(pool.costly)
    yield None
