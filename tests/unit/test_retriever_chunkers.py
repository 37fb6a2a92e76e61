"""Retrievers over spans: created, opened and changed with the chunker that they keep."""

import pytest

from routeret.chunking import CallableChunker, SentenceWindows
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import InputError
from routeret.retriever import Retriever

ENCODER = HashingEncoder(dim=16)


def halves(document):
    middle = len(document.text) // 2
    return [(0, middle), (middle, len(document.text))]


HALVES = CallableChunker(halves, name="halves", version="1")


def test_a_function_is_given_again_to_write(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER, chunker=HALVES) as kb:
        assert kb.add([{"id": "a", "text": "red cats black dogs"}]).spans_embedded == 2
        assert kb.add([{"id": "b", "text": ""} | {"title": "only a title"}]).spans_embedded == 1
    with Retriever.open(tmp_path / "kb", base=ENCODER) as kb:
        best = kb.search("black dogs", 1, expert="base")[0]
        assert (best.id, best.text[slice(*best.span)]) == ("a", "black dogs")
        with pytest.raises(InputError, match="the function 'halves', version '1'"):
            kb.add([{"id": "c", "text": "three birds"}])
        assert len(kb) == 2
    with Retriever.open(tmp_path / "kb", base=ENCODER, chunker=HALVES) as kb:
        assert kb.add([{"id": "c", "text": "three birds"}]).added == 1


def test_another_chunker_is_refused(tmp_path):
    Retriever.create(tmp_path / "kb", base=ENCODER, chunker=HALVES).close()
    for other in (SentenceWindows(size=40, overlap=0), CallableChunker(halves, name="halves", version="2")):
        with pytest.raises(InputError, match="was cut by chunker"):
            Retriever.open(tmp_path / "kb", base=ENCODER, chunker=other)


def test_storage_is_kept(tmp_path):
    with Retriever.create(tmp_path / "kb", base=ENCODER, storage="fp32") as kb:
        kb.add([{"id": "a", "text": "red cats"}])
        # 16 numbers of 4 bytes.
        assert kb.info()["spaces"][ENCODER.space.fingerprint]["vectors_bytes"] == 64


def test_an_unknown_storage_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match="storage is 'fp8', expected one of fp16, fp32, int8"):
        Retriever.create(tmp_path / "kb", base=ENCODER, storage="fp8")
    assert list(tmp_path.iterdir()) == []
