import json
import math
import shutil
import threading

import numpy as np
import pytest

from routeret.errors import ArtifactError, InputError
from routeret.index.lexical import Covered, Fulltext, build, covered_of, engine, folder, tokens, update, verify
from routeret.index.lexical.manifest import Manifest

TEXTS = ["the cat sat", "cats and dogs and dogs", "", "Köln grüßt", "the dog"]
NOTHING = np.zeros(0, dtype=np.int64)

pytestmark = pytest.mark.usefixtures("_small_engine")


def lucene(count, n_tokens, *, n_with, n_documents, mean_tokens):
    """Robertson's formula as Lucene computes it, with k1 = 1.2 and b = 0.75."""
    idf = math.log(1 + (n_documents - n_with + 0.5) / (n_with + 0.5))
    return idf * count / (count + 1.2 * (1 - 0.75 + 0.75 * n_tokens / mean_tokens))


@pytest.fixture
def _small_engine(monkeypatch):
    """tantivy takes over from three documents on."""
    monkeypatch.setattr(folder, "MANY_DOCUMENTS", 3)


def opened(path, n_documents, *, generation=0, removed=NOTHING):
    return Fulltext.open(
        path, generation=generation, n_documents=n_documents, removed=np.array(removed, dtype=np.int64)
    )


def in_memory(texts):
    return Fulltext.of(enumerate(texts), n_documents=len(texts))


def in_folder(path, texts, *, generation=0):
    build(path, enumerate(texts), covered=Covered(generation, len(texts)))
    return opened(path, len(texts), generation=generation)


def in_steps(path, texts, *ends):
    """The same documents, in several commits."""
    build(path, enumerate(texts[: ends[0]]), covered=Covered(0, ends[0]))
    for start, end in zip(ends, [*ends[1:], len(texts)], strict=True):
        update(path, list(enumerate(texts))[start:end], covered=Covered(0, end))
    return opened(path, len(texts))


def pairs(found):
    return list(zip(found.numbers.tolist(), found.scores.tolist(), strict=True))


def test_queries_asked_in_turns_score_as_each_by_itself():
    fulltext, every = in_memory(TEXTS), np.arange(5)
    queries = ["cat", "dog", "cat", "nothing of this", "dog"]
    found = [(pairs(fulltext.search(query, 9)), fulltext.scores_of(query, every).tolist()) for query in queries]
    for query, (best, scores) in zip(queries, found, strict=True):
        assert best == pairs(in_memory(TEXTS).search(query, 9))
        assert scores == in_memory(TEXTS).scores(query).tolist()
    assert found[0] == found[2] != found[1] == found[4]


def test_scores_follow_the_formula(tmp_path):
    # Without stop words: "cat sat", "cat dog dog", nothing, "köln grüßt", "dog": 8 tokens in 5 documents.
    common = {"n_documents": 5, "mean_tokens": 8 / 5}
    expected = [
        lucene(1, 2, n_with=2, **common),
        lucene(1, 3, n_with=2, **common) + lucene(2, 3, n_with=2, **common),
        0,
        0,
        lucene(1, 1, n_with=2, **common),
    ]
    for fulltext in (in_memory(TEXTS), in_folder(tmp_path / "whole", TEXTS), in_steps(tmp_path / "steps", TEXTS, 1, 4)):
        scores = fulltext.scores("A cat, the DOGS!")
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, expected, rtol=1e-6)
        found = fulltext.search("A cat, the DOGS!", 9)
        assert found.numbers.dtype == np.int64
        assert found.numbers.tolist() == [1, 4, 0]
        assert found.scores.tolist() == scores[[1, 4, 0]].tolist()
        assert fulltext.best("A cat, the DOGS!") == scores[1]
        assert fulltext.scores_of("A cat, the DOGS!", np.array([4, 2, 1])).tolist() == scores[[4, 2, 1]].tolist()


def test_a_word_that_the_query_holds_twice_counts_twice():
    fulltext = in_memory(TEXTS)
    np.testing.assert_allclose(fulltext.scores("dog dogs"), 2 * fulltext.scores("dog"), rtol=1e-6)


@pytest.mark.parametrize("query", ["", "the and", "unheard", "!?", "\ud800"])
def test_a_query_without_a_known_token_finds_nothing(tmp_path, query):
    for fulltext in (in_memory(TEXTS), in_folder(tmp_path / "fulltext", TEXTS)):
        assert pairs(fulltext.search(query, 3)) == []
        assert fulltext.scores(query).tolist() == [0, 0, 0, 0, 0]
        assert fulltext.best(query) == 0


def test_case_and_letters_beyond_ascii():
    assert in_memory(TEXTS).search("KÖLN", 3).numbers.tolist() == [3]


@pytest.mark.parametrize("ends", [(6,), (3,), (1, 2, 3, 4, 5), (2, 5)])
def test_equal_scores_have_the_lower_document_first_wherever_they_stand(tmp_path, ends):
    texts = ["x red", "blue", "u red", "z red", "w red", "v red"]
    fulltext = in_steps(tmp_path / "fulltext", texts, *ends)
    found = fulltext.search("red", 3)
    assert found.numbers.tolist() == [0, 2, 3]
    assert len(set(found.scores.tolist())) == 1
    assert fulltext.search("red", 99).numbers.tolist() == [0, 2, 3, 4, 5]
    assert fulltext.search("red", 2, allowed=np.array([0, 1, 0, 0, 1, 1], dtype=bool)).numbers.tolist() == [4, 5]


@pytest.mark.parametrize("texts", [[], [""], ["the", "and"], ["", "", "", ""]])
def test_documents_without_tokens(tmp_path, texts):
    for fulltext in (in_memory(texts), in_folder(tmp_path / "fulltext", texts)):
        assert len(fulltext) == len(texts)
        assert fulltext.scores("cat").tolist() == [0.0] * len(texts)
        assert pairs(fulltext.search("cat", 5)) == []
    assert verify(tmp_path / "fulltext") == []


def test_an_engine_without_tokens(tmp_path):
    fulltext = in_steps(tmp_path / "fulltext", ["", "the", "", "cat"], 3)
    assert (tmp_path / "fulltext" / "engine").exists()
    assert fulltext.search("cat", 5).numbers.tolist() == [3]


def test_counts_beyond_16_bits(tmp_path):
    texts = ["cat " * 70_000 + "dog", "cat", "dog", "emu"]
    fulltext = in_folder(tmp_path / "fulltext", texts)
    mean = (70_001 + 3) / 4
    expected = lucene(65_535, 70_001, n_with=2, n_documents=4, mean_tokens=mean)
    assert pairs(fulltext.search("cat", 1))[0] == (0, pytest.approx(expected, rel=1e-6))
    assert pairs(fulltext.search("cat dog", 9)) == pairs(in_memory(texts).search("cat dog", 9))


def test_numbers_may_be_left_out(tmp_path):
    path = tmp_path / "fulltext"
    texts = [(1, "cat"), (4, "cat dog"), (5, "emu")]
    build(path, texts, covered=Covered(0, 8))
    update(path, [(9, "cat")], covered=Covered(0, 12))
    expected = in_memory(["cat", "cat dog", "emu", "cat"]).scores("cat")
    gone = [0, 2, 3, 6, 7, 8, 10, 11]
    found = opened(path, 12, removed=gone).search("cat", 5)
    assert pairs(found) == [(1, expected[0]), (9, expected[3]), (4, expected[1])]
    with pytest.raises(ArtifactError, match="was never given document 0, which this commit holds"):
        opened(path, 12)
    assert opened(path, 12, removed=gone).scores_of("cat", np.array([0, 1, 11])).tolist() == [0, expected[0], 0]


def test_removed_and_later_documents_leave_no_trace(tmp_path):
    texts = ["cat dog", "cat", "dog dog", "emu cat", "cat emu", "dog", "cat dog emu"]
    in_steps(tmp_path / "fulltext", texts, 4, 5)
    for n_documents, removed in ((7, [1, 3]), (6, [0]), (4, [2]), (3, []), (2, [0, 1]), (0, [])):
        living = [(n, text) for n, text in enumerate(texts[:n_documents]) if n not in removed]
        expected = Fulltext.of(living, n_documents=n_documents)
        found = opened(tmp_path / "fulltext", n_documents, removed=removed)
        for query in ("cat", "dog emu", "cat cat dog emu"):
            assert pairs(found.search(query, 9)) == pairs(expected.search(query, 9))
            assert found.scores(query).tolist() == expected.scores(query).tolist()


def test_allowed_may_be_shorter_or_longer(tmp_path):
    for fulltext in (in_memory(["cat"] * 5), in_folder(tmp_path / "fulltext", ["cat"] * 5)):
        assert fulltext.search("cat", 9, allowed=np.array([False, True, True])).numbers.tolist() == [1, 2]
        assert fulltext.search("cat", 9, allowed=np.ones(8, dtype=bool)).numbers.tolist() == [0, 1, 2, 3, 4]
        assert fulltext.best("cat", allowed=np.zeros(5, dtype=bool)) == 0


def test_wrong_arguments(tmp_path):
    fulltext = in_folder(tmp_path / "fulltext", TEXTS)
    with pytest.raises(InputError, match="k is 0"):
        fulltext.search("cat", 0)
    with pytest.raises(InputError, match="a query is a list"):
        fulltext.search(["cat"], 1)
    with pytest.raises(InputError, match="document number 5 is outside 0 to 4"):
        fulltext.scores_of("cat", np.array([0, 5]))
    with pytest.raises(InputError, match="number 3 came where one from 4 to 5"):
        Fulltext.of([(3, "cat"), (3, "dog")], n_documents=6)
    with pytest.raises(InputError, match="number 4 came where one from 5 to 5"):
        update(tmp_path / "fulltext", [(4, "cat")], covered=Covered(0, 6))
    with pytest.raises(InputError, match="covers 5 documents, 4 were asked for"):
        update(tmp_path / "fulltext", [], covered=Covered(0, 4))
    assert pairs(opened(tmp_path / "fulltext", 5).search("dog", 9)) == pairs(fulltext.search("dog", 9))


def test_what_is_missing_behind_or_of_another_generation_is_refused(tmp_path):
    path = tmp_path / "fulltext"
    assert covered_of(path) is None
    with pytest.raises(ArtifactError, match=r"has no manifest.json"):
        opened(path, 5)
    in_folder(path, TEXTS, generation=3)
    assert covered_of(path) == Covered(3, 5)
    with pytest.raises(ArtifactError, match="covers 5 documents of generation 3, the index has 6 of generation 3"):
        opened(path, 6, generation=3)
    with pytest.raises(ArtifactError, match="the index has 5 of generation 4"):
        opened(path, 5, generation=4)
    with pytest.raises(ArtifactError, match="generation 3, the index has 4"):
        update(path, [], covered=Covered(4, 5))


def test_other_parameters_make_it_stale(tmp_path, monkeypatch):
    in_folder(tmp_path / "fulltext", TEXTS)
    monkeypatch.setitem(tokens.PARAMETERS, "k1", 0.9)
    with pytest.raises(ArtifactError, match="is stale"):
        opened(tmp_path / "fulltext", 5)


def test_a_reader_keeps_what_it_saw(tmp_path):
    path = tmp_path / "fulltext"
    reader = in_folder(path, TEXTS)
    before = pairs(reader.search("cat dog", 9))
    for number in range(5, 40):
        update(path, [(number, "cat dog")], covered=Covered(0, number + 1))
        assert pairs(reader.search("cat dog", 9)) == before
    build(path, enumerate(["emu"] * 9), covered=Covered(1, 9))
    shutil.rmtree(path)
    assert pairs(reader.search("cat dog", 9)) == before


def test_an_older_commit_can_be_opened_beside_a_newer_one(tmp_path):
    path = tmp_path / "fulltext"
    before = pairs(in_folder(path, TEXTS).search("cat dog", 9))
    update(path, [(number, "cat dog") for number in range(5, 15)], covered=Covered(0, 15))
    assert pairs(opened(path, 5).search("cat dog", 9)) == before


def test_a_folder_that_cannot_be_written_is_searched_all_the_same(tmp_path, monkeypatch):
    expected = pairs(in_folder(tmp_path / "fulltext", TEXTS).search("cat dog", 9))
    monkeypatch.setattr(engine.os, "access", lambda *_: False)
    (tmp_path / "fulltext" / "engine" / ".tantivy-meta.lock").unlink()
    assert pairs(opened(tmp_path / "fulltext", 5).search("cat dog", 9)) == expected
    assert not (tmp_path / "fulltext" / "engine" / ".tantivy-meta.lock").exists()


def test_many_threads_get_what_one_gets(tmp_path):
    fulltext = in_folder(tmp_path / "fulltext", [f"cat w{n % 7} w{n % 11}" for n in range(500)])
    queries = [f"cat w{n} w{n + 3}" for n in range(8)]
    expected = [pairs(fulltext.search(query, 20)) for query in queries]
    fulltext = opened(tmp_path / "fulltext", 500)
    found = [None] * 8

    def search(place):
        found[place] = pairs(fulltext.search(queries[place], 20))

    threads = [threading.Thread(target=search, args=(place,)) for place in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == expected


def test_building_and_searching_print_nothing(tmp_path, capfd):
    in_folder(tmp_path / "fulltext", TEXTS).search("cat", 2)
    assert capfd.readouterr() == ("", "")


class KilledError(Exception):
    pass


@pytest.mark.parametrize("step", ["terms", "intent", "before commit", "after commit"])
def test_a_kill_leaves_one_commit_or_the_next(tmp_path, monkeypatch, step):
    path = tmp_path / "fulltext"
    more = [(number, f"cat dog w{number}") for number in range(5, 10)]
    before = pairs(in_folder(path, TEXTS).search("cat dog", 9))
    whole = in_folder(tmp_path / "whole", [*TEXTS, *(text for _, text in more)])
    after = pairs(whole.search("cat dog", 9))
    with monkeypatch.context() as patch:
        kill_at(step, patch)
        with pytest.raises(KilledError):
            update(path, more, covered=Covered(0, 10))
    covered = covered_of(path)
    assert covered == Covered(0, 10 if step == "after commit" else 5)
    assert verify(path) == []
    expected = after if step == "after commit" else before
    assert pairs(opened(path, covered.n_documents).search("cat dog", 9)) == expected
    update(path, [pair for pair in more if pair[0] >= covered.n_documents], covered=Covered(0, 10))
    assert pairs(opened(path, 10).search("cat dog", 9)) == after
    assert verify(path) == []


def kill_at(step, patch):
    def killed(*_, **__):
        raise KilledError

    def committed_and_killed(*arguments):
        engine.add_documents(*arguments)
        raise KilledError

    if step == "terms":
        patch.setattr(folder, "_are_many", killed)
    elif step == "intent":
        patch.setattr(Manifest, "write", killed)
    elif step == "before commit":
        patch.setattr(folder, "add_documents", killed)
    else:
        patch.setattr(folder, "add_documents", committed_and_killed)


def test_flipped_bits_after_a_kill_are_found_by_the_engines_own_checksums(tmp_path, monkeypatch):
    path = tmp_path / "fulltext"
    with monkeypatch.context() as patch:
        kill_at("after commit", patch)
        build(path, [], covered=Covered(0, 0))
        with pytest.raises(KilledError):
            update(path, enumerate(TEXTS), covered=Covered(0, 5))
    assert verify(path) == []
    file = next((path / "engine").glob("*.idx"))
    flip(file, file.stat().st_size // 4)
    assert [damaged for damaged, _ in verify(path)] == [file]


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    put(file, content)


def put(file, content):
    """Another file under the name: a map of a file that is cut short ends the process, and tantivy may still map it."""
    other = file.with_name("other")
    other.write_bytes(content)
    other.replace(file)


def test_every_damage_is_found_and_named(tmp_path):
    path = tmp_path / "fulltext"
    in_steps(path, [*TEXTS, "emu"], 2, 5)
    files = [file for file in path.rglob("*") if file.is_file() and file.stat().st_size]
    assert len(files) >= 10
    for file in sorted(files):
        content = file.read_bytes()
        for place in {0, len(content) // 3, len(content) - 1}:
            flip(file, place)
            assert file in [damaged for damaged, _ in verify(path)], f"{file.name}, byte {place}"
            put(file, content)
        put(file, content[:-1])
        assert file in [damaged for damaged, _ in verify(path)], f"{file.name}, cut"
        with pytest.raises(ArtifactError):
            opened(path, 6)
        file.unlink()
        assert file in [damaged for damaged, _ in verify(path)], f"{file.name}, missing"
        with pytest.raises(ArtifactError):
            opened(path, 6)
        put(file, content)
    assert verify(path) == []


def test_a_manifest_whose_numbers_changed_is_refused(tmp_path):
    path = tmp_path / "fulltext"
    in_folder(path, TEXTS)
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["state"]["engine_tokens"] += 1
    (path / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")
    with pytest.raises(ArtifactError, match="is damaged: its checksum differs"):
        opened(path, 5)


def test_a_commit_of_one_document_leaves_the_engine_alone(tmp_path):
    path = tmp_path / "fulltext"
    in_folder(path, ["cat dog"] * 5)
    written = {file.name: file.stat().st_mtime_ns for file in (path / "engine").iterdir()}
    update(path, [(5, "cat emu")], covered=Covered(0, 6))
    assert {file.name: file.stat().st_mtime_ns for file in (path / "engine").iterdir()} == written
    assert opened(path, 6).search("emu", 2).numbers.tolist() == [5]


def test_long_documents_go_into_the_engine_sooner(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "MANY_ENTRIES", 4)
    in_folder(tmp_path / "few", ["cat dog emu"])
    in_folder(tmp_path / "many", ["cat dog emu fox"])
    assert [(tmp_path / name / "engine").exists() for name in ("few", "many")] == [False, True]
