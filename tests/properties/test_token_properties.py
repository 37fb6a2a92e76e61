"""Any sequence of changes and interruptions leaves the token vectors that a plain dictionary of documents has."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from cutting import BARS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from word_tokens import WordTokens, kept, tokens_by_id

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index, adding, changing, compacting, segments
from routeret.types import Document

BASE, OWN = HashingEncoder(dim=8), WordTokens(dim=12)
IDS = ["a", "b", "c", "ä", "e f", "😀"]
documents = st.builds(
    Document,
    id=st.sampled_from(IDS),
    title=st.sampled_from(["", "Straße"]),
    text=st.sampled_from(["red", "green tea", "red tea|cat", "tea|red is a colour|green", "black tea with milk"]),
    metadata=st.sampled_from([{}, {"year": 2021}]),
)
batches = st.lists(documents, min_size=1, max_size=5, unique_by=lambda document: document.id)


class Interrupting(WordTokens):
    """Fails at the first batch behind those that it may encode."""

    n_left = 0

    def encode_document_tokens(self, documents):
        if self.n_left == 0:
            raise RuntimeError("interrupted")
        self.n_left -= 1
        return super().encode_document_tokens(documents)


class TokensMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for module, name, value in (
            (adding, "BLOCK_DOCUMENTS_WITH_TOKENS", 2),
            (changing, "_EMBEDDED_ROWS_WITH_TOKENS", 2),
            (compacting, "_COPIED_ROWS_WITH_TOKENS", 2),
            (segments, "BLOCK_ROWS", 3),
            (segments, "SEGMENT_ROWS", 7),
        ):
            self.patch.setattr(module, name, value)
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "kb"

    @initialize(cuts=st.booleans(), storage=st.sampled_from(["fp16", "int8"]), first=batches)
    def create(self, cuts, storage, first):
        self.storage = storage
        self.index = Index.create(self.folder, BASE.space, chunker=BARS if cuts else None)
        self.index.add(Corpus.of(first), BASE)
        self.model = {document.id: document for document in first}
        self.index.add_space(OWN, tokens=storage, batch_size=2)

    def teardown(self):
        if hasattr(self, "index"):
            assert self.index.verify() == []
            self.index.close()
        self.temporary.cleanup()
        self.patch.undo()

    @rule(batch=batches)
    def upsert(self, batch):
        self.index.upsert(Corpus.of(batch), [BASE, OWN], batch_size=2)
        self.model |= {document.id: document for document in batch}

    @rule(batch=batches)
    def sync(self, batch):
        self.index.sync(Corpus.of(batch), [BASE, OWN])
        self.model = {document.id: document for document in batch}

    @rule(batch=batches, n_encoded=st.integers(0, 2))
    def interrupt(self, batch, n_encoded):
        encoder = Interrupting(dim=12)
        encoder.n_left = n_encoded
        try:
            self.index.upsert(Corpus.of(batch), [BASE, encoder], batch_size=1)
        except RuntimeError:
            self.index.refresh()
        else:
            self.model |= {document.id: document for document in batch}

    @rule(n_encoded=st.integers(0, 3))
    def embed_the_space_again(self, n_encoded):
        encoder = Interrupting(dim=12)
        encoder.n_left = n_encoded
        self.index.drop_space(OWN.space)
        try:
            self.index.add_space(encoder, tokens=self.storage, batch_size=1)
        except RuntimeError:
            self.index.add_space(OWN, tokens=self.storage)

    @rule(document_id=st.sampled_from(IDS))
    def delete(self, document_id):
        if document_id in self.model:
            self.index.delete([document_id])
            del self.model[document_id]

    @rule()
    def compact(self):
        self.index.compact()

    @rule()
    def reopen(self):
        chunker = self.index.chunker
        self.index.close()
        self.index = Index.open(self.folder, chunker=chunker, verify=True)

    @invariant()
    def holds_the_tokens_of_the_dictionary(self):
        if not hasattr(self, "index"):
            return
        found = tokens_by_id(self.index, OWN.space)
        assert sorted(found) == sorted(self.model)
        for document_id, document in self.model.items():
            texts = [document.text[slice(*span)] for span in self.index.chunker.spans(document)]
            expected = [kept(OWN.tokens(f"{document.title} {text}".split()), self.storage) for text in texts]
            for one, other in zip(found[document_id], expected, strict=True):
                np.testing.assert_array_equal(one, other)


TokensMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestTokens = TokensMachine.TestCase
