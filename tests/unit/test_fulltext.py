import json
import math

import numpy as np
import pytest

from routeret.errors import ArtifactError, InputError
from routeret.index import fulltext as module
from routeret.index.fulltext import Fulltext

TEXTS = ["the cat sat", "cats and dogs and dogs", "", "Köln grüßt", "the dog"]


def lucene(count, n_tokens, *, n_with, n_documents, mean_tokens):
    """Robertson's formula as Lucene computes it, with k1 = 1.2 and b = 0.75."""
    idf = math.log(1 + (n_documents - n_with + 0.5) / (n_with + 0.5))
    return idf * count / (count + 1.2 * (1 - 0.75 + 0.75 * n_tokens / mean_tokens))


def test_scores_follow_the_formula():
    # Without stop words: "cat sat", "cat dog dog", nothing, "köln grüßt", "dog": 8 tokens in 5 documents.
    common = {"n_documents": 5, "mean_tokens": 8 / 5}
    expected = [
        lucene(1, 2, n_with=2, **common),
        lucene(1, 3, n_with=2, **common) + lucene(2, 3, n_with=2, **common),
        0,
        0,
        lucene(1, 1, n_with=2, **common),
    ]
    scores = Fulltext.build(TEXTS).scores("A cat, the DOGS!")
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_queries_without_a_known_token_score_zero():
    built = Fulltext.build(TEXTS)
    for query in ("", "the and", "unheard", "!?"):
        assert built.scores(query).tolist() == [0, 0, 0, 0, 0]
    assert built.scores("KÖLN")[3] > 0


def test_equal_scores_keep_the_lower_document_first():
    built = Fulltext.build(["x red", "blue", "u red", "z red", "w red"])
    best = built.search(["red", "nothing"], 3)
    assert best.rows.tolist() == [[0, 2, 3], [0, 1, 2]]
    assert best.scores[0, 0] == best.scores[0, 2] > 0
    assert best.scores[1].tolist() == [0, 0, 0]
    assert built.search(["blue"], 99).rows.tolist() == [[1, 0, 2, 3, 4]]


@pytest.mark.parametrize("texts", [[], [""], ["the", "and"]])
def test_documents_without_tokens(tmp_path, texts):
    built = Fulltext.build(texts)
    built.save(tmp_path / "fulltext", commit=1)
    for fulltext in (built, Fulltext.open(tmp_path / "fulltext", commit=1)):
        assert fulltext.scores("cat").tolist() == [0.0] * len(texts)
        assert fulltext.search(["cat"], 5).rows.tolist() == [list(range(len(texts)))]


@pytest.mark.parametrize("mmap", [True, False])
def test_saved_scores_are_the_same_and_hold_no_pickle(tmp_path, mmap):
    built = Fulltext.build(TEXTS)
    built.save(tmp_path / "fulltext", commit=3)
    opened = Fulltext.open(tmp_path / "fulltext", commit=3, mmap=mmap)
    assert len(opened) == 5
    assert opened.scores("cat dog köln").tolist() == built.scores("cat dog köln").tolist()
    assert {file.suffix for file in (tmp_path / "fulltext").iterdir()} == {".json", ".npy"}
    for file in (tmp_path / "fulltext").glob("*.npy"):
        np.load(file, allow_pickle=False)


def test_stale_and_damaged_folders_are_refused(tmp_path, monkeypatch):
    folder = tmp_path / "fulltext"
    with pytest.raises(ArtifactError, match=r"has no manifest.json"):
        Fulltext.open(folder, commit=1)
    Fulltext.build(TEXTS).save(folder, commit=1)
    with pytest.raises(ArtifactError, match="is stale: commit 1, the index has 2"):
        Fulltext.open(folder, commit=2)
    with monkeypatch.context() as patch:
        patch.setitem(module.PARAMETERS, "k1", 0.9)
        with pytest.raises(ArtifactError, match="is stale"):
            Fulltext.open(folder, commit=1)
    (folder / "vocab.index.json").write_text(json.dumps({"cat": 0}))
    with pytest.raises(ArtifactError, match="vocab.index.json is damaged"):
        Fulltext.open(folder, commit=1)


def test_building_and_searching_print_nothing(capfd):
    built = Fulltext.build(TEXTS)
    built.search(["cat"], 2)
    assert capfd.readouterr() == ("", "")


def test_wrong_arguments():
    built = Fulltext.build(TEXTS)
    with pytest.raises(InputError, match="queries is a string"):
        built.search("cat", 1)
    with pytest.raises(InputError, match="k is 0"):
        built.search(["cat"], 0)
    with pytest.raises(InputError, match="a query is a int"):
        built.scores(3)
