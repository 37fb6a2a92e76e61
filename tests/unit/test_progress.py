"""What progress bars say, and what a bar over the embedding of documents says of tokens and of texts that were cut."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from routeret.corpus import Corpus
from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.index import Index
from routeret.index import embedding as embedding_module
from routeret.index.embedding import EmbeddedBlock, Embedder, pieces_of
from routeret.index.row_format import RowFormat
from routeret.progress import track
from routeret.types import Document, EncodedDocuments

TEXT_BY_ID = {"a": "bank " * 9, "b": "bank " * 9, "c": "tax", "d": "bank " * 9}


class Counting(HashingEncoder):
    """A token is a letter, of which a text may have four."""

    counts = True

    def encode_documents(self, documents):
        lengths = np.array([len(document.text) for document in documents])
        n_tokens = int(np.minimum(lengths, 4).sum()) if self.counts else None
        return EncodedDocuments(super().encode_documents(documents).vectors, lengths > 4, n_tokens)


class Silent(Counting):
    """Does not count."""

    counts = False


@pytest.fixture(autouse=True)
def half_a_second_a_batch(monkeypatch):
    """A clock that is asked before and after every batch, and goes on by half a second each time."""
    clock = SimpleNamespace(perf_counter=itertools.count(step=0.5).__next__)
    monkeypatch.setattr(embedding_module, "time", clock)


def corpus(text_by_id):
    return Corpus.of([Document(id=key, text=text) for key, text in text_by_id.items()])


def notes(*encoders, texts, batch_size):
    """What an embedder says before the first batch and after every batch."""
    by_space = {str(number): (encoder, RowFormat("fp32", 64)) for number, encoder in enumerate(encoders)}
    embedder = Embedder(by_space, token_formats={}, batch_size=batch_size)
    documents = [Document(id=str(row), text=text) for row, text in enumerate(texts)]
    pieces = [
        piece for one in documents for piece in pieces_of(one, ((0, len(one.text)),), place=f"row {one.id}", rows={})
    ]
    found = [embedder.note()]
    for _ in embedder.steps(pieces, into=EmbeddedBlock(), folder=None, snapshot=None):
        found.append(embedder.note())
    return found


def test_a_note_follows_the_figures_of_the_bar(capfd):
    used = []
    for item in track([3, 4], description="reading", unit="docs", note=lambda: f"{sum(used)} in all"):
        used.append(item)
    out, err = capfd.readouterr()
    assert out == ""
    assert "reading: 100%" in err
    assert err.rstrip().endswith(", 7 in all]")


def test_an_item_may_stand_for_several(capfd):
    assert list(track([2, 0, 3], description="reading", total=5, unit="docs", count=int)) == [2, 0, 3]
    assert "reading: 100%" in (err := capfd.readouterr().err)
    assert "5/5" in err


def test_a_bar_without_a_note_and_no_bar(capfd):
    assert list(track([1, 2], description="reading", unit="docs")) == [1, 2]
    assert capfd.readouterr().err.rstrip().endswith("docs/s]")
    asked = track([1, 2], description="reading", note=lambda: pytest.fail("asked without a bar"), show=False)
    assert list(asked) == [1, 2]
    assert capfd.readouterr() == ("", "")


def test_batches_are_counted_as_they_are_embedded():
    """The longest texts come first: 4 + 4 tokens in half a second, then 3 + 2, then 1; 14 in 1.5 seconds."""
    said = notes(Counting(), texts=["abc", "a", "abcdefg", "ab", "abcdef"], batch_size=2)
    assert said == ["0 cut", "2 cut, 16 tokens/s", "2 cut, 13 tokens/s", "2 cut, 9 tokens/s"]


def test_large_numbers_are_grouped():
    texts = [f"{number:05d}" for number in range(1500)]
    assert notes(Counting(), texts=texts, batch_size=1500) == ["0 cut", "1,500 cut, 12,000 tokens/s"]


def test_a_text_that_comes_again_is_cut_again_but_read_once():
    assert notes(Counting(), texts=["abcdef", "ab", "abcdef"], batch_size=9) == ["0 cut", "2 cut, 12 tokens/s"]


def test_an_encoder_that_counts_no_tokens_tells_what_it_cut():
    assert notes(Silent(), texts=["abcdef", "ab"], batch_size=1) == ["0 cut", "1 cut", "1 cut"]


def test_cut_is_what_the_first_space_cuts_and_tokens_are_those_of_all_that_count():
    twice = notes(Counting(), Counting(), texts=["abcdef", "ab"], batch_size=2)
    assert twice == ["0 cut", "1 cut, 12 tokens/s", "1 cut, 12 tokens/s"]
    # The time of an encoder that does not count is none of the tokens'.
    assert notes(Silent(), Counting(), texts=["abcdef", "ab"], batch_size=2) == [
        "0 cut",
        "1 cut",
        "1 cut, 12 tokens/s",
    ]


def test_adding_says_it_on_stderr(tmp_path, e5_model, capfd):
    """6 tokens, the limit, of the text that comes thrice, and [CLS] passage : tax [SEP]: 11 in half a second."""
    encoder = TorchEncoder(e5_model, max_tokens=6, device="cpu")
    with Index.create(tmp_path / "kb", encoder.space) as index:
        report = index.add(corpus(TEXT_BY_ID), encoder, total=4, show_progress=True)
        out, err = capfd.readouterr()
        assert out == ""
        assert "4/4" in err
        assert err.rstrip().endswith(", 3 cut, 22 tokens/s]")
        assert (report.truncated, report.spans_embedded) == (3, 2)
        index.add(corpus({"e": "bank " * 9}), encoder, show_progress=False)
    assert capfd.readouterr() == ("", "")


def test_embedding_one_more_space_says_it_on_stderr(tmp_path, e5_model, capfd):
    base = HashingEncoder(dim=8)
    with Index.create(tmp_path / "kb", base.space) as index:
        index.add(corpus(TEXT_BY_ID), base)
        index.add_space(TorchEncoder(e5_model, max_tokens=6, device="cpu"), show_progress=True)
    err = capfd.readouterr().err
    assert "embedding: 100%" in err
    assert "3 cut, 22 tokens/s]" in err
