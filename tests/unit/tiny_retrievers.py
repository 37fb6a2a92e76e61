"""A retriever over the tiny model whose queries are routed to the base, a map and an adapter."""

import numpy as np
from tiny_experts import linear, lora

from routeret import Document, Retriever
from routeret.encoders import OnnxEncoder
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, save_pilots

TEXTS = {
    # What warming asks goes to the map, so that it does not load the adapter by chance.
    "money": ("a first question", "a first card", "a first bank", "a first tax", "the first question"),
    "law": ("river water", "all of the water", "the river returns", "water of its river", "all water"),
}


def documents():
    words = ["river", "bank", "card", "tax", "water", "returns", "the", "pays", "all", "its"]
    rng = np.random.default_rng(0)
    return [Document(f"d{number}", text=" ".join(rng.choice(words, size=7))) for number in range(600)]


def write_expert(folder, expert, encoder):
    """An expert's folder with pilots that gain by it."""
    texts = TEXTS[expert.name]
    corpus = PilotCorpus(
        name=expert.name,
        texts=texts,
        vectors=encoder.encode_queries(texts),
        gains={expert.name: np.full((len(texts), len(STRENGTHS)), 0.3, dtype=np.float32)},
        home_experts=(expert.name,),
    )
    library = PilotLibrary(query_tower=encoder.query_tower, corpora=(corpus,))
    expert.save(folder, beside=lambda temporary: save_pilots(library, temporary / "pilots"))
    return folder


def write_retriever(folder, model):
    """Its folder, on a machine that is prepared; graphs are where ``ROUTERET_GRAPHS`` says."""
    encoder = OnnxEncoder(model)
    with Retriever.create(folder / "kb", base=model, device="cpu") as retriever:
        retriever.add(documents())
        for expert in (linear(encoder, "money"), lora(encoder, "law", seed=1)):
            retriever.add_expert(write_expert(folder / expert.name, expert, encoder))
        retriever.warm()
    return folder / "kb"
