"""A pool with an expert that turns every query round, and one that never acts."""

import numpy as np

from routeret.encoders.hashing import HashingEncoder
from routeret.experts import LinearExpert
from routeret.retriever import Retriever
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, save_pilots
from routeret.types import Document

DIM = 32
TEXTS = (
    "apples", "bridge", "candles", "dolphin", "engines", "fjord", "guitars", "hammock", "islands", "jigsaw", "kettles",
    "lantern",
)  # fmt: skip


PILOTS = tuple(f"where to find {text}" for text in TEXTS)


def spoiled_index(folder):
    """An index of 12 documents of a word each; the word as a query finds its document first, until it is spoiled.

    The expert ``spoiler`` writes a query q at strength s as (1 - 2 s) q, so that at the mean strength, 0.625, the best
    document becomes the last one. Its pilots promise a gain of 0.4; those of ``idle`` a loss.
    """
    index = folder / "kb"
    with Retriever.create(index, base=f"hashing-{DIM}") as retriever:
        documents = [Document(id=text, text=text) for text in TEXTS]
        retriever.add(documents)
        keys = np.sort(np.array([document.content_key for document in documents], dtype=np.uint64))
        for name, scale, gain in (("spoiler", -2, 0.4), ("idle", 0, -0.2)):
            retriever.add_expert(_write_expert(folder / name, scale=scale, gain=gain, known_documents=keys))
    return index


def _write_expert(folder, *, scale, gain, known_documents):
    encoder = HashingEncoder(DIM)
    expert = LinearExpert(
        name=folder.name,
        weight=scale * np.eye(DIM, dtype=np.float32),
        strength=1.0,
        space=encoder.space,
        query_tower=encoder.query_tower,
        known_documents=known_documents,
    )
    gains = {expert.name: np.full((len(PILOTS), len(STRENGTHS)), gain, dtype=np.float32)}
    words = PilotCorpus("words", PILOTS, encoder.encode_queries(PILOTS), gains, home_experts=(expert.name,))
    pilots = PilotLibrary(encoder.query_tower, (words,))
    expert.save(folder, beside=lambda temporary: save_pilots(pilots, temporary / "pilots"))
    return folder
