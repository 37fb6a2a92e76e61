"""Changing, checking and moving an index from the command line, with the encoder that needs no model."""

import re
import shutil

import numpy as np
import pytest
from command_line import BASE, error_of, run, run_json, write_lines

from routeret.index import Index

DOCUMENTS = [
    {"id": "card", "title": "Lost card", "text": "What to do when a bank card is lost.", "lang": "en", "year": 2019},
    {"id": "zip", "title": "Archives", "text": "List the files inside a zip archive.", "lang": "en", "year": 2021},
    {"id": "tür", "title": "Türen", "text": "Wie man eine klemmende Tür repariert.", "lang": "de", "year": 2021},
    {"id": "asthma", "text": "Asthma narrows the airways and makes breathing difficult."},
]
THREE = "The first sentence is about red cats.\n\nThe second one tells of two dogs.\n\nThe third speaks of three birds."
IN_THREE = ("--chunker", "sentences:size=40,overlap=0")


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def ids_in(folder):
    with Index.open(folder) as index:
        return index.ids()


def counts_of(report, *names):
    return tuple(report[name] for name in names)


CHANGES = ("added", "changed", "unchanged", "removed")


@pytest.fixture
def docs(tmp_path):
    return write_lines(tmp_path / "docs.jsonl", DOCUMENTS)


@pytest.fixture
def kb(docs, tmp_path):
    run("build", tmp_path / "kb", docs, *BASE)
    return tmp_path / "kb"


def test_upsert_puts_documents_in_place(kb, tmp_path):
    changed = {**DOCUMENTS[1], "text": "Unpack a tar ball."}
    path = write_lines(tmp_path / "new.jsonl", [changed, DOCUMENTS[0], {"id": "tax", "text": "File taxes."}])
    report = run_json("upsert", kb, path)
    assert counts_of(report, *CHANGES) == (1, 1, 1, 0)
    assert (report["n_documents"], report["n_by_corpus"], report["spans_embedded"]) == (5, {"new": 3}, 2)
    best = run_json("search", kb, "unpack tar ball", "-k", 1)["hits"][0]
    assert (best["id"], best["text"]) == ("zip", "Unpack a tar ball.")
    assert "changed: 0\nunchanged: 3\n" in run("upsert", kb, path).stdout


def test_upsert_refuses_a_broken_corpus_whole(kb, tmp_path):
    path = tmp_path / "broken.jsonl"
    path.write_text('{"id": "zip", "text": "new"}\n{"id": \n', encoding="utf-8")
    assert f"{path}:2 is not valid JSON" in error_of("upsert", kb, path)
    with Index.open(kb) as index:
        assert index.get("zip").text == DOCUMENTS[1]["text"]


def test_only_changed_spans_are_embedded(tmp_path):
    path = write_lines(tmp_path / "long.jsonl", [{"id": "long", "text": THREE}])
    report = run_json("build", tmp_path / "kb", path, *BASE, *IN_THREE)
    assert (report["added"], report["spans_embedded"]) == (1, 3)
    write_lines(path, [{"id": "long", "text": THREE.replace("two dogs", "two mice")}])
    report = run_json("upsert", tmp_path / "kb", path)
    assert (report["changed"], report["spans_embedded"], report["spans_reused"]) == (1, 1, 2)
    hit = run_json("search", tmp_path / "kb", "two mice", "-k", 3)["hits"]
    assert len(hit) == 1
    assert hit[0]["text"][slice(*hit[0]["span"])] == "The second one tells of two mice."


def test_sync_makes_the_index_equal_to_the_corpora(kb, tmp_path):
    half = write_lines(tmp_path / "half.jsonl", [DOCUMENTS[0], {**DOCUMENTS[1], "year": 2022}])
    more = write_lines(tmp_path / "more.jsonl", [{"id": "tax", "text": "File taxes."}])
    # Two of four documents go, which is not more than half: nothing is asked.
    report = run_json("sync", kb, half, more)
    assert counts_of(report, *CHANGES) == (1, 1, 1, 2)
    assert report["n_by_corpus"] == {"half": 2, "more": 1}
    assert sorted(ids_in(kb)) == ["card", "tax", "zip"]
    assert counts_of(run_json("sync", kb, half, more), *CHANGES) == (0, 0, 3, 0)


def test_sync_asks_before_most_documents_go(kb, tmp_path):
    one = write_lines(tmp_path / "one.jsonl", DOCUMENTS[:1])
    for answer in ("n\n", ""):
        message = error_of("sync", kb, one, answer=answer)
        assert "3 of the 4 documents" in message
        assert "--yes" in message
        assert len(ids_in(kb)) == 4
    result = run("sync", kb, one, answer="y\n")
    assert "3 of 4 documents will be removed. Go on?" in result.stderr
    assert "unchanged: 1\nremoved: 3\n" in result.stdout
    assert ids_in(kb) == ["card"]
    other = write_lines(tmp_path / "other.jsonl", DOCUMENTS[1:2])
    assert counts_of(run_json("sync", kb, other, "--yes"), *CHANGES) == (1, 0, 0, 1)


def test_sync_with_an_empty_corpus_removes_nothing(kb, tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert "'empty' is empty" in error_of("sync", kb, tmp_path / "empty.jsonl", "--yes")
    assert len(ids_in(kb)) == 4


def test_delete_by_ids(kb, tmp_path):
    (tmp_path / "ids.txt").write_text("zip\n\ntür\nzip\n", encoding="utf-8")
    command = ("delete", kb, "card", "--ids-from", tmp_path / "ids.txt")
    assert (
        run(*command, "--dry-run").stdout
        == "Would remove 3 documents; 1 document would be left. Nothing was changed.\n"
    )
    assert len(ids_in(kb)) == 4
    report = run_json(*command)
    assert report == {"index": str(kb), "removed": 3, "n_documents": 1, "is_dry_run": False}
    assert [hit["id"] for hit in run_json("search", kb, "zip archive", "-k", 10)["hits"]] == ["asthma"]
    assert run("delete", kb, "asthma").stdout == "Removed 1 document; 0 documents left.\n"


def test_delete_by_filter(kb):
    old = ("delete", kb, "--filter", '{"year": {"lt": 2020}}')
    dry = run_json(*old, "--dry-run")
    assert dry == {"index": str(kb), "removed": 1, "n_documents": 3, "is_dry_run": True}
    assert run_json(*old) == {**dry, "is_dry_run": False}
    assert ids_in(kb) == ["zip", "tür", "asthma"]
    assert run_json(*old)["removed"] == 0


def test_delete_removes_nothing_if_anything_is_wrong(kb, tmp_path):
    for dry in ((), ("--dry-run",)):
        assert "'nobody'" in error_of("delete", kb, "card", "nobody", *dry)
        assert "not valid JSON" in error_of("delete", kb, "--filter", "{lang: en}", *dry)
        assert "lnag" in error_of("delete", kb, "--filter", '{"lnag": "en"}', *dry)
    assert "is no file" in error_of("delete", kb, "--ids-from", tmp_path / "nothing.txt")
    (tmp_path / "blank.txt").write_text("\n \n", encoding="utf-8")
    assert "holds no id" in error_of("delete", kb, "--ids-from", tmp_path / "blank.txt")
    assert "nothing" in error_of("delete", tmp_path / "nothing", "card")
    assert len(ids_in(kb)) == 4


def test_optimise_measures_what_it_builds(kb):
    found = run_json("optimise", kb, "--factory", "SQ8")
    assert (found["factory"], found["rows"], found["recall"]) == ("SQ8", 4, {"base": 1.0})
    assert run("optimise", kb, "--factory", "SQ8").stdout == (
        "Search structure: SQ8, over 4 rows.\n  recall 1.0000 for queries of base\n"
    )
    assert run("optimise", kb).stdout.startswith("Search structure: exact, over 4 rows.\n")
    assert "recall is 2.0" in error_of("optimise", kb, "--recall", 2)
    assert "NOTHING" in error_of("optimise", kb, "--factory", "NOTHING")


def test_compact_gives_room_back(kb):
    assert run_json("compact", kb)["removed_rows"] == 0
    run("delete", kb, "card", "tür")
    assert "routeret compact" in run("info", kb).stdout
    before = run_json("search", kb, "zip archive", "-k", 10)["hits"]
    assert run_json("compact", kb) == {"index": str(kb), "removed_rows": 2, "n_documents": 2}
    assert run_json("info", kb)["removed_rows"] == 0
    assert "routeret compact" not in run("info", kb).stdout
    assert run_json("search", kb, "zip archive", "-k", 10)["hits"] == before
    assert run("compact", kb).stdout == "Rows given back: 0; the index holds 2 documents.\n"


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_verify_says_that_an_index_is_whole(kb):
    assert run("verify", kb).stdout == f"{kb} is whole: every file is as it was written.\n"
    assert run_json("verify", kb) == {"index": str(kb), "is_whole": True, "damage": [], "repaired": []}
    assert run("verify", kb, "--repair").stdout.endswith("every file is as it was written.\n")


def test_verify_names_every_damaged_file(kb):
    (vectors,) = (kb / "vectors").glob("*/*.f16")
    flip(vectors, 10)
    manifest = kb / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"retriever"', '"retreiver"'), encoding="utf-8")
    lines = run("verify", kb, code=1).stdout.splitlines()
    assert [line.startswith("Damaged: ") for line in lines] == [True, True]
    assert str(manifest) in lines[0]
    assert f"{vectors} is damaged in rows 0 to 3" in lines[1]
    report = run_json("verify", kb, "--repair", code=1)
    assert [one["path"] for one in report["damage"]] == [str(manifest), str(vectors)]
    assert report["repaired"] == []


def test_verify_repairs_what_is_derived(kb):
    hits = run_json("search", kb, "zip archive", "-k", 4)["hits"]
    (kb / "index.json").write_text("{}", encoding="utf-8")
    (kb / "fulltext" / "manifest.json").write_text("{}", encoding="utf-8")
    error_of("search", kb, "zip archive")
    assert len(run("verify", kb, code=1).stdout.splitlines()) == 2
    result = run("verify", kb, "--repair")
    assert [line.partition(":")[0] for line in result.stdout.splitlines()[:2]] == ["Repaired", "Repaired"]
    assert result.stdout.splitlines()[2] == f"{kb} is whole: every file is as it was written."
    assert run_json("search", kb, "zip archive", "-k", 4)["hits"] == hits
    assert run_json("verify", kb)["is_whole"] is True


def test_verify_refuses_what_is_no_index(tmp_path):
    assert "neither manifest.json nor store.sqlite" in error_of("verify", tmp_path / "nothing")


def test_export_and_import_bring_an_index_back(kb, tmp_path):
    result = run("export", kb, tmp_path / "out")
    assert result.stdout == f"Wrote 4 documents with vectors to {tmp_path / 'out'}\n"
    assert np.load(tmp_path / "out" / "vectors.npy").shape == (4, 64)
    report = run_json("import", tmp_path / "out", tmp_path / "kb2", *BASE)
    assert (report["added"], report["spans_embedded"], report["spans_reused"]) == (4, 0, 4)
    assert report["n_by_corpus"] == {"out": 4}
    query = ("zip archive files", "-k", 4)
    assert run_json("search", tmp_path / "kb2", *query) == run_json("search", kb, *query)
    assert names_in(tmp_path) == ["docs.jsonl", "kb", "kb2", "out"]


def test_import_adds_to_an_index_that_is_there(kb, tmp_path):
    run("export", kb, tmp_path / "out")
    more = write_lines(tmp_path / "more.jsonl", [DOCUMENTS[0], {"id": "tax", "text": "File taxes."}])
    run("build", tmp_path / "kb2", more, *BASE)
    report = run_json("import", tmp_path / "out", tmp_path / "kb2")
    assert counts_of(report, *CHANGES) == (3, 0, 1, 0)
    assert report["n_documents"] == 5
    message = error_of("import", tmp_path / "out", tmp_path / "kb2", *BASE, "--storage", "fp32")
    assert "--base, --storage can be chosen for a new index only" in message


def test_an_index_of_spans_is_moved_with_its_chunker(tmp_path):
    path = write_lines(
        tmp_path / "long.jsonl", [{"id": "long", "text": THREE}, {"id": "kurz", "text": "Nur ein Satz."}]
    )
    run("build", tmp_path / "kb", path, *BASE, *IN_THREE)
    run("export", tmp_path / "kb", tmp_path / "out")
    assert np.load(tmp_path / "out" / "spans.npy").tolist() == [[0, 0, 37], [0, 39, 72], [0, 74, 106], [1, 0, 13]]
    run("import", tmp_path / "out", tmp_path / "kb2", *BASE, "--storage", "fp32")
    info = run_json("info", tmp_path / "kb2")
    assert (info["rows"], info["chunker"]["kind"]) == (4, "sentences")
    assert [one["storage"] for one in info["spaces"].values()] == ["fp32"]
    with Index.open(tmp_path / "kb") as first, Index.open(tmp_path / "kb2") as second:
        np.testing.assert_array_equal(first.vectors(np.arange(4)), second.vectors(np.arange(4)))


def test_export_and_import_refuse(kb, tmp_path):
    run("export", kb, tmp_path / "out")
    assert "exists already" in error_of("export", kb, tmp_path / "out")
    assert "nothing" in error_of("import", tmp_path / "nothing", tmp_path / "kb2", *BASE)
    assert "hashing-32" in error_of("import", tmp_path / "out", tmp_path / "kb2", "--base", "hashing-32")
    other = write_lines(tmp_path / "other.jsonl", [{"id": "zip", "text": "Another text."}])
    run("build", tmp_path / "kb3", other, *BASE)
    assert "'zip'" in error_of("import", tmp_path / "out", tmp_path / "kb3")
    flip(tmp_path / "out" / "vectors.npy", -1)
    assert "vectors.npy is damaged" in error_of("import", tmp_path / "out", tmp_path / "kb2", *BASE)
    assert names_in(tmp_path) == ["docs.jsonl", "kb", "kb3", "other.jsonl", "out"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"lang": "en"}', {"card", "zip"}),
        ('{"year": {"gte": 2020}}', {"zip", "tür"}),
        ('{"not": {"lang": {"any": ["en", "de"]}}}', {"asthma"}),
        ('{"lang": "fr"}', set()),
    ],
)
def test_search_with_a_filter(kb, text, found):
    hits = run_json("search", kb, "card zip Tür asthma", "--filter", text)["hits"]
    assert {hit["id"] for hit in hits} == found
    best = run_json("search", kb, "card zip Tür asthma", "--filter", text, "-k", 1)["hits"]
    assert best == hits[:1]


def test_search_refuses_a_wrong_filter(kb):
    assert "not valid JSON" in error_of("search", kb, "zip", "--filter", "lang=en")
    assert "lnag" in error_of("search", kb, "zip", "--filter", '{"lnag": "en"}')


def test_build_with_chunker_and_storage(docs, tmp_path):
    path = write_lines(tmp_path / "long.jsonl", [{"id": "long", "text": THREE}])
    run("build", tmp_path / "kb", path, *BASE, *IN_THREE, "--storage", "int8")
    text = run("info", tmp_path / "kb").stdout
    assert "documents: 1\nrows: 3\n" in text
    assert re.search(r"^chunker: sentences: .*overlap 0, .*size 40$", text, re.MULTILINE)
    assert "storage: int8" in text
    # 64 codes and a scale of 4 bytes a row.
    assert "vectors_bytes: 204 bytes" in text
    known = error_of("build", tmp_path / "kb2", docs, *BASE, "--chunker", "words:size=3")
    assert "unknown kind 'words'; known are none, sentences" in known
    assert not (tmp_path / "kb2").exists()


def test_an_index_keeps_the_fusion_it_was_made_with(docs, kb, tmp_path):
    run("build", tmp_path / "ranked", docs, *BASE, "--space-fusion", "ranks")
    run("export", kb, tmp_path / "out")
    run("import", tmp_path / "out", tmp_path / "imported", *BASE, "--space-fusion", "ranks")
    found = {name: run_json("info", tmp_path / name)["space_fusion"] for name in ("kb", "ranked", "imported")}
    assert found == {"kb": "scores", "ranked": "ranks", "imported": "ranks"}
    message = error_of("import", tmp_path / "out", kb, "--space-fusion", "scores")
    assert "--space-fusion can be chosen for a new index only" in message


def test_info_is_readable(kb):
    lines = run("info", kb).stdout.splitlines()
    assert lines[:3] == [f"folder: {kb}", "documents: 4", "rows: 4"]
    assert "chunker: none" in lines
    assert "    vectors_bytes: 512 bytes" in lines
    assert [line for line in lines if line.startswith("store_bytes: ") and line.endswith(" kB")]


@pytest.mark.parametrize("command", ["upsert", "sync", "compact", "export", "delete"])
def test_a_folder_that_is_no_index_is_refused(docs, tmp_path, command):
    last = {"upsert": [docs], "sync": [docs], "export": [tmp_path / "out"], "delete": ["a"]}.get(command, [])
    assert str(tmp_path / "nothing") in error_of(command, tmp_path / "nothing", *last)
    assert names_in(tmp_path) == ["docs.jsonl"]


def test_an_index_is_the_same_after_it_was_copied(kb, tmp_path):
    shutil.copytree(kb, tmp_path / "copy")
    assert run_json("verify", tmp_path / "copy")["is_whole"] is True
