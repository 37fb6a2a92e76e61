"""Any sequence of changes, interruptions and reopenings behaves like a plain dictionary searched by brute force."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from cutting import BARS
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from routeret.chunking import WholeText
from routeret.conditions import leaves
from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import DuplicateIdError, UnknownDocumentError
from routeret.filters import parse_filter
from routeret.index import Index
from routeret.index import adding as adding_module
from routeret.index import segments as segments_module
from routeret.types import Document

ENCODER = HashingEncoder(dim=8)
IDS = ["a", "b", "c", "ä", "a/b", "e f", "7", "😀"]
FILTERS = [{"lang": "en"}, {"year": {"gte": 2020}}, {"not": {"lang": "en"}}, {"lang": "xx"}]

documents = st.builds(
    Document,
    id=st.sampled_from(IDS),
    title=st.sampled_from(["", "red", "Straße"]),
    text=st.sampled_from(["red", "green tea", "red tea|cat", "tea|red|green"]),
    metadata=st.sampled_from([{}, {"lang": "en"}, {"lang": "de", "year": 2019}, {"year": 2021}]),
)
batches = st.lists(documents, min_size=1, max_size=6, unique_by=lambda document: document.id)


class Interrupting(HashingEncoder):
    """Fails at the first batch behind those that it may encode."""

    n_left = 0

    def encode_documents(self, documents):
        if self.n_left == 0:
            raise RuntimeError("interrupted")
        self.n_left -= 1
        return super().encode_documents(documents)


class IndexMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(adding_module, "BLOCK_DOCUMENTS", 2)
        self.patch.setattr(segments_module, "BLOCK_ROWS", 3)
        self.patch.setattr(segments_module, "SEGMENT_ROWS", 7)
        self.temporary = tempfile.TemporaryDirectory()
        self.folder = Path(self.temporary.name) / "kb"

    @initialize(cuts=st.booleans(), storage=st.sampled_from(["fp16", "fp32", "int8"]))
    def create(self, cuts, storage):
        self.chunker = BARS if cuts else WholeText()
        self.storage = storage
        self.index = Index.create(self.folder, ENCODER.space, chunker=self.chunker, storage=storage)
        self.model = {}
        self.reader = Index.open(self.folder)
        self.seen = {}

    def teardown(self):
        if hasattr(self, "index"):
            assert self.index.verify() == []
            self.index.close()
            self.reader.close()
        self.temporary.cleanup()
        self.patch.undo()

    def put(self, batch, n_resumed=0):
        n_kept = len(self.model)
        for document in batch:
            if self.model.get(document.id) != document:
                n_kept -= document.id in self.model
                self.model.pop(document.id, None)
                self.model[document.id] = document
        if n_resumed:
            # What an interrupted call had embedded keeps its number from then, so it comes before what is new now.
            order = self.index.ids()
            assert sorted(order) == sorted(self.model)
            kept = list(self.model)[:n_kept]
            assert [document_id for document_id in order if document_id in kept] == kept
            self.model = {document_id: self.model[document_id] for document_id in order}

    @rule(batch=batches)
    def add(self, batch):
        if any(self.model.get(document.id, document) != document for document in batch):
            with pytest.raises(DuplicateIdError):
                self.index.add(Corpus.of(batch), ENCODER)
            self.index.refresh()
            return
        n_fresh = sum(document.id not in self.model for document in batch)
        report = self.index.add(Corpus.of(batch), ENCODER, batch_size=2)
        assert (report.added, report.changed, report.unchanged) == (n_fresh, 0, len(batch) - n_fresh)
        self.put(batch, report.resumed)

    @rule(batch=batches)
    def upsert(self, batch):
        n_added = sum(document.id not in self.model for document in batch)
        n_unchanged = sum(self.model.get(document.id) == document for document in batch)
        report = self.index.upsert(Corpus.of(batch), ENCODER, batch_size=2)
        assert (report.added, report.unchanged, report.removed) == (n_added, n_unchanged, 0)
        assert report.changed == len(batch) - n_added - n_unchanged
        self.put(batch, report.resumed)

    @rule(batch=batches)
    def sync(self, batch):
        gone = set(self.model) - {document.id for document in batch}
        report = self.index.sync(Corpus.of(batch), ENCODER)
        assert report.removed == len(gone)
        for document_id in gone:
            del self.model[document_id]
        self.put(batch, report.resumed)

    @rule(batch=batches, n_encoded=st.integers(0, 2))
    def interrupt(self, batch, n_encoded):
        """Whatever was staged before the failure, nobody sees a change."""
        encoder = Interrupting(dim=8)
        encoder.n_left = n_encoded
        try:
            report = self.index.upsert(Corpus.of(batch), encoder, batch_size=1)
        except RuntimeError:
            self.index.refresh()
        else:
            self.put(batch, report.resumed)

    @rule(ids=st.lists(st.sampled_from(IDS), max_size=3, unique=True))
    def delete(self, ids):
        if any(document_id not in self.model for document_id in ids):
            with pytest.raises(UnknownDocumentError):
                self.index.delete(ids)
            return
        assert self.index.delete(ids).removed == len(ids)
        for document_id in ids:
            del self.model[document_id]

    @rule()
    def compact(self):
        self.index.compact()
        assert self.index.n_numbers == len(self.model)

    @rule()
    def reopen(self):
        self.index.close()
        self.index = Index.open(self.folder, chunker=self.chunker, verify=True)

    @rule()
    def refresh_reader(self):
        self.reader.refresh()
        self.seen = dict(self.model)

    @rule(query=st.sampled_from(["red", "tea", "blue"]), k=st.integers(1, 20))
    def search(self, query, k):
        self.check_search(self.index, self.model, query, k)
        self.check_search(self.reader, self.seen, query, k)

    @rule(wanted=st.sampled_from(FILTERS), query=st.sampled_from(["red", "tea"]), k=st.integers(1, 4))
    def search_filtered(self, wanted, query, k):
        names = {name for document in self.model.values() for name in document.metadata}
        parsed = parse_filter(wanted)
        if not {leaf.field for leaf in leaves(parsed)} <= names:
            return
        allowed = self.index.matching(wanted)
        kept = {key: document for key, document in self.model.items() if parsed.matches(document.metadata)}
        assert self.index.ids(np.flatnonzero(allowed)) == list(kept)
        self.check_search(self.index, kept, query, k, documents=allowed)

    def check_search(self, index, model, query, k, documents=None):
        found = index.search(ENCODER.encode_queries([query]), k, space=ENCODER.space, documents=documents)
        spans = index.spans(found.rows[0])
        hits = index.documents(index.row_documents[found.rows[0]])
        given = [(hit.id, span, score) for hit, span, score in zip(hits, spans, found.scores[0], strict=True)]
        assert given == self.brute_force(model, query, k)

    def brute_force(self, model, query, k):
        spans = [(document, span) for document in model.values() for span in self.chunker.spans(document)]
        if not spans:
            return []
        pieces = [Document(id="", title=one.title, text=one.text[slice(*span)]) for one, span in spans]
        vectors = stored(ENCODER.encode_documents(pieces).vectors, self.storage).astype(np.float64)
        products = (vectors @ ENCODER.encode_queries([query])[0].astype(np.float64)).astype(np.float32)
        order = sorted(range(len(spans)), key=lambda place: (-products[place], place))[:k]
        return [(spans[place][0].id, spans[place][1], products[place]) for place in order]

    @invariant()
    def holds_what_the_dictionary_holds(self):
        if hasattr(self, "index"):
            for index, model in ((self.index, self.model), (self.reader, self.seen)):
                assert index.ids() == list(model)
                assert len(index) == len(model)
                assert index.documents(index.numbers(list(model))) == list(model.values())
                assert index.contains(IDS).tolist() == [document_id in model for document_id in IDS]


def stored(vectors, storage):
    """The vectors as their storage gives them back, written out."""
    if storage == "int8":
        scales = np.abs(vectors).max(axis=1, keepdims=True) / np.float32(127)
        return np.rint(vectors / scales).astype(np.float32) * scales
    return vectors.astype(np.float16 if storage == "fp16" else np.float32).astype(np.float32)


IndexMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)
TestIndex = IndexMachine.TestCase
