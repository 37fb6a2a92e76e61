"""Tiny data sets, experts and packs over the hashing encoder, for tests that need whole ones."""

import json

import numpy as np

from routeret.artifact import write_manifest
from routeret.encoders.hashing import HashingEncoder
from routeret.experts import LinearExpert
from routeret.packs import FORMAT, KIND
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, UtilityRouter, save_pilots
from routeret.types import Document

DIM = 32
ENCODER = HashingEncoder(dim=DIM)

TEXTS = {
    "fruit": ["a red apple", "a yellow banana", "a sour lemon", "a sweet melon", "a ripe mango"],
    "ships": ["a sailing boat", "a steam ship", "a rowing boat", "a grey submarine", "a fast ferry"],
}
QUERIES = {
    "fruit": ["which fruit is red", "yellow fruit", "sour fruit", "sweet and juicy fruit", "a tropical fruit"],
    "ships": ["a boat with sails", "ship with an engine", "a boat with oars", "ship under water", "ship for cars"],
}


def documents_of(name):
    return [Document(id=f"{name[0]}{number}", text=text) for number, text in enumerate(TEXTS[name])]


def write_dataset(folder, *, train=(0, 1), test=(1, 2, 3, 4)):
    """A BEIR folder; query n is answered by document n. Some queries are train, some test, one may be both."""
    name = folder.name
    (folder / "qrels").mkdir(parents=True)
    lines = {
        "corpus.jsonl": [{"_id": document.id, "text": document.text} for document in documents_of(name)],
        "queries.jsonl": [{"_id": f"q{number}", "text": text} for number, text in enumerate(QUERIES[name])],
    }
    for file, values in lines.items():
        (folder / file).write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    for split, numbers in {"train": train, "test": test}.items():
        judged = "".join(f"q{number}\t{name[0]}{number}\t1\n" for number in numbers)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


def linear_expert(name, *, seed=0, known=(), strength=0.5):
    weight = np.random.default_rng(seed).normal(scale=0.1, size=(DIM, DIM)).astype(np.float32)
    keys = np.array([document.content_key for document in known], dtype=np.uint64)
    return LinearExpert(
        name=name,
        weight=weight,
        strength=strength,
        space=ENCODER.space,
        query_tower=ENCODER.query_tower,
        known_documents=keys,
    )


def pilot_corpus(name, gain_by_expert, *, texts=None, home=()):
    texts = tuple(texts or QUERIES[name])
    return PilotCorpus(
        name=name,
        texts=texts,
        vectors=ENCODER.encode_queries(texts),
        gains={
            expert: np.full((len(texts), len(STRENGTHS)), gain, dtype=np.float32)
            for expert, gain in gain_by_expert.items()
        },
        home_experts=tuple(home),
    )


def library(*corpora):
    return PilotLibrary(query_tower=ENCODER.query_tower, corpora=corpora)


def write_expert(folder, expert, *corpora):
    """An expert's folder with pilots."""
    expert.save(folder, beside=lambda temporary: save_pilots(library(*corpora), temporary / "pilots"))
    return folder


def write_pack(folder, *, multitask=True):
    """A pack with an expert for each data set and one for both; its folder's name is its name."""
    experts = [
        linear_expert("fruit", seed=1, known=documents_of("fruit")),
        linear_expert("ships", seed=2, known=documents_of("ships")),
    ]
    gains = {"fruit": {"fruit": 0.3, "ships": -0.2}, "ships": {"fruit": -0.2, "ships": 0.4}}
    if multitask:
        experts.append(linear_expert("multitask", seed=3, known=documents_of("fruit") + documents_of("ships")))
        gains = {name: {**values, "multitask": 0.1} for name, values in gains.items()}
    for expert in experts:
        expert.save(folder / "experts" / expert.name)
    corpora = [pilot_corpus(name, values, home=[name]) for name, values in gains.items()]
    UtilityRouter.fit(library(*corpora), [expert.name for expert in experts]).save(folder / "router")
    fields = {
        "name": folder.name,
        "base": f"hashing-{DIM}",
        "space": ENCODER.space.as_dict(),
        "query_tower": ENCODER.query_tower,
        "lexical_weight": 0.3,
    }
    write_manifest(folder, kind=KIND, format_number=FORMAT, fields=fields)
    return folder
