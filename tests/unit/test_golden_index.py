"""An index of every format that was ever released is read as it was written."""

import shutil
from pathlib import Path

import numpy as np
from word_tokens import WordTokens, kept, tokens_by_id

from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index

GOLDEN = Path(__file__).parents[1] / "golden"


def test_format_2(tmp_path):
    folder = tmp_path / "index-2"
    shutil.copytree(GOLDEN / "index-2", folder)
    encoder = HashingEncoder(dim=16)
    with Index.open(folder, verify=True) as index:
        assert index.verify() == []
        assert index.ids() == ["tee", "title only", "cat"]
        assert (index.n_numbers, index.n_rows, len(index)) == (5, 6, 3)
        assert index.row_documents.tolist() == [0, 0, 1, 2, 3, 4]
        tee = index.get("tee")
        assert [tee.text[slice(*span)] for span in index.spans([0, 1])] == [
            "Grüner Tee ist mild.",
            "Schwarzer Tee ist kräftig.",
        ]
        assert index.get("cat").text == "The dog sat on the mat."
        assert np.flatnonzero(index.matching({"year": {"gte": 2021}})).tolist() == [4]
        assert np.flatnonzero(index.matching({"lang": "de"})).tolist() == [0]
        found = index.search(encoder.encode_queries(["dog mat"]), 1, space=encoder.space)
        assert found.rows.tolist() == [[5]]
        assert index.fulltext.search("Schwarzer Tee", 3).numbers.tolist() == [0]
        assert index.compact() == 2
        assert index.verify() == []


def test_format_3_holds_token_vectors(tmp_path):
    folder = tmp_path / "index-3"
    shutil.copytree(GOLDEN / "index-3", folder)
    with Index.open(folder, verify=True) as index:
        for _ in range(2):
            assert index.verify() == []
            assert index.ids() == ["tee", "title only", "cat"]
            for storage, dim in (("fp16", 6), ("int8", 4)):
                encoder = WordTokens(dim=dim)
                found = tokens_by_id(index, encoder.space)
                assert {name: [len(one) for one in spans] for name, spans in found.items()} == {
                    "tee": [5, 5],
                    "title only": [3],
                    "cat": [6],
                }
                expected = kept(encoder.tokens("The dog sat on the mat.".split()), storage)
                np.testing.assert_array_equal(found["cat"][0], expected)
            index.compact()
