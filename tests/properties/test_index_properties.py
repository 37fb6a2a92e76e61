"""Any sequence of adding, reopening and searching behaves like a plain dictionary searched by brute force."""

import tempfile
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import DuplicateIdError
from routeret.index import Index
from routeret.types import Document

ENCODER = HashingEncoder(dim=8)

documents = st.builds(
    Document,
    id=st.sampled_from(["a", "b", "c", "ä", "a/b", "e f", "7", "😀"]),
    title=st.sampled_from(["", "red", "Straße"]),
    text=st.sampled_from(["red", "green tea", "red tea"]),
    metadata=st.sampled_from([{}, {"lang": "en"}]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.lists(documents, min_size=1, max_size=6)),
        st.tuples(st.just("reopen"), st.none()),
        st.tuples(st.just("search"), st.tuples(st.sampled_from(["red", "tea", "blue"]), st.integers(1, 9))),
    ),
    max_size=12,
)


def brute_force(model, query, k):
    vectors = ENCODER.encode_documents(list(model.values())).vectors.astype(np.float16).astype(np.float64)
    products = (vectors @ ENCODER.encode_queries([query])[0].astype(np.float64)).astype(np.float32)
    order = sorted(range(len(model)), key=lambda number: (-products[number], number))[:k]
    return [(list(model)[number], products[number]) for number in order]


def add(index, model, batch):
    ids = [document.id for document in batch]
    conflicts = [document for document in batch if model.get(document.id, document) != document]
    if conflicts or len(set(ids)) < len(ids):
        with pytest.raises(DuplicateIdError):
            index.add(Corpus.from_documents(batch), ENCODER)
        return
    n_fresh = sum(document.id not in model for document in batch)
    report = index.add(Corpus.from_documents(batch), ENCODER, batch_size=2)
    assert (report.added, report.unchanged) == (n_fresh, len(batch) - n_fresh)
    for document in batch:
        model.setdefault(document.id, document)


def search(index, model, query, k):
    found = index.search(ENCODER.encode_queries([query]), k, space=ENCODER.space)
    hits = index.documents(index.row_documents[found.rows[0]])
    expected = brute_force(model, query, k) if model else []
    assert [(hit.id, score) for hit, score in zip(hits, found.scores[0], strict=True)] == expected


@settings(max_examples=40, deadline=None)
@given(steps=steps)
def test_an_index_is_a_dictionary(steps):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        index = stack.enter_context(Index.create(Path(folder) / "kb", ENCODER.space))
        model = {}
        for step, argument in steps:
            if step == "add":
                add(index, model, argument)
            elif step == "search":
                search(index, model, *argument)
            else:
                index = stack.enter_context(Index.open(Path(folder) / "kb"))
        assert index.ids() == list(model)
        assert index.documents(range(len(model))) == list(model.values())
        assert len(index) == index.n_rows == len(model)
