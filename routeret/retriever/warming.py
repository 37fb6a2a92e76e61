"""Preparing a machine for searching, so that no query waits for what is done once."""

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
