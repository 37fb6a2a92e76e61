"""An index of every format that was ever released is read as it was written."""

import shutil
from pathlib import Path

import numpy as np

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
