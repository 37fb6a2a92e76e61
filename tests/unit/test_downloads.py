import re
import socket
from dataclasses import replace

import pytest
from file_server import MEMBERS, serving, zipped

from routeret.datasets import load_dataset
from routeret.downloads import fetch, fetch_missing, fetching, public_sets
from routeret.errors import ArtifactError, DownloadError, InputError


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    with serving() as served:
        yield served


@pytest.fixture
def sets(tmp_path):
    folder = tmp_path / "sets"
    folder.mkdir()
    return folder


def names_in(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_set_is_unpacked_into_the_folder(server, sets):
    source = server.put(zipped(MEMBERS))
    assert fetch(source, sets / "other-name") == sets / "other-name"
    assert names_in(sets) == [
        "other-name",
        "other-name/corpus.jsonl",
        "other-name/qrels",
        "other-name/qrels/test.tsv",
        "other-name/queries.jsonl",
    ]
    dataset = load_dataset(sets / "other-name")
    assert dataset.split("test") == ({"q1": "eins", "q2": "zwei"}, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    assert [document.text for document in dataset.corpus] == ["eins", "zwei"]
    assert server.asked == ["/tiny.zip"]


def test_the_folder_above_is_made_and_progress_is_on_stderr(server, tmp_path, capsys):
    fetch(server.put(zipped(MEMBERS)), tmp_path / "a" / "b" / "tiny", show_progress=True)
    assert (tmp_path / "a" / "b" / "tiny" / "corpus.jsonl").is_file()
    out, err = capsys.readouterr()
    assert out == ""
    assert "downloading tiny" in err
    assert "1/1" in err


def test_several_megabytes_come_piece_by_piece(server, sets, monkeypatch):
    monkeypatch.setattr(fetching, "_CHUNK", 10)
    text = "".join(f"{number}\n" for number in range(1000))
    fetch(server.put(zipped({**MEMBERS, "tiny/more/deep/numbers.txt": text})), sets / "tiny")
    assert (sets / "tiny" / "more" / "deep" / "numbers.txt").read_text() == text


def test_what_stands_beside_the_folder_in_the_archive_is_left_out(server, sets):
    fetch(server.put(zipped({**MEMBERS, "__MACOSX/tiny/._corpus.jsonl": "x", "README": "x"})), sets / "tiny")
    assert len(names_in(sets)) == 1 + 4


@pytest.mark.parametrize(
    ("content", "published", "cut", "words"),
    [
        (b"a" * 30, b"b" * 30, 0, "MD5 59e794d45697b360e18ba972bada0123, expected (?!59e794)"),
        (b"a" * 30, b"a" * 40, 0, "gave 30 bytes, expected 40"),
        (b"a" * 40, b"a" * 30, 0, "gave more than 30 bytes, expected 30"),
        (b"a" * 30, b"a" * 30, 7, "gave 23 bytes, expected 30"),
        (b"", b"a" * 30, 0, "gave 0 bytes, expected 30"),
        (b"a" * 30, b"a" * 30, 0, "not a whole zip archive"),
        (zipped({"other/corpus.jsonl": ""}), None, 0, "no folder 'tiny'"),
        (zipped({"tiny": ""}), None, 0, "no folder 'tiny'"),
        (zipped({"tiny/": ""}), None, 0, "no folder 'tiny'"),
    ],
)
def test_another_file_than_the_published_one_leaves_nothing(server, sets, content, published, cut, words):
    source = server.put(content, published=published, cut=cut)
    with pytest.raises(DownloadError, match=words):
        fetch(source, sets / "tiny")
    assert names_in(sets) == []


@pytest.mark.parametrize(
    "name",
    ["../out", "tiny/../../out", "/tmp/out", "tiny\\..\\..\\out", "C:\\out", "c:out", "\\out", "other/../../out"],
)
def test_a_path_that_leads_outside_is_refused(server, sets, name):
    source = server.put(zipped({**MEMBERS, name: "x"}))
    with pytest.raises(DownloadError, match=f"{re.escape(repr(name))}, which leads outside"):
        fetch(source, sets / "tiny")
    assert names_in(sets.parent) == ["sets"]


def test_names_that_only_look_like_such_paths_are_kept(server, sets):
    fetch(server.put(zipped({**MEMBERS, "tiny/..a/b..": "x"})), sets / "tiny")
    assert (sets / "tiny" / "..a" / "b..").read_text() == "x"


def test_an_interruption_leaves_nothing_and_the_next_call_starts_again(server, sets, monkeypatch):
    source = server.put(zipped(MEMBERS))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(fetching, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(source, sets / "tiny")
    assert names_in(sets) == []
    fetch(source, sets / "tiny")
    assert len(names_in(sets)) == 1 + 4


def test_a_folder_that_exists_is_kept(server, sets):
    (sets / "tiny").mkdir()
    (sets / "tiny" / "mine").write_text("mine")
    with pytest.raises(ArtifactError, match="exists already"):
        fetch(server.put(zipped(MEMBERS)), sets / "tiny")
    assert names_in(sets) == ["tiny", "tiny/mine"]
    assert server.asked == []


def test_a_server_that_does_not_answer(server, sets):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.zip"
        with pytest.raises(DownloadError, match=rf"{url} cannot be fetched \(.*refused.*\); check the network"):
            fetch(replace(server.put(b""), url=url), sets / "tiny")
    with pytest.raises(DownloadError, match=r"missing.zip cannot be fetched \(HTTP Error 404"):
        fetch(replace(server.put(b""), url=f"{server.address}/missing.zip"), sets / "tiny")
    assert names_in(sets) == []


def test_only_folders_that_are_missing_are_fetched(server, sets, monkeypatch):
    content = zipped({name.replace("tiny/", "new/"): text for name, text in MEMBERS.items()})
    table = {"tiny": server.put(zipped(MEMBERS)), "new": server.put(content, name="new")}
    monkeypatch.setattr(fetching, "public_sets", lambda: table)
    (sets / "tiny").mkdir()
    (sets / "mine").mkdir()
    folders = [sets / "tiny", str(sets / "new"), sets / "mine", sets / "new"]
    assert fetch_missing(folders) == [sets / "new"]
    assert server.asked == ["/new.zip"]
    assert fetch_missing(folders) == []
    assert server.asked == ["/new.zip"]


def test_an_unknown_name_stops_before_anything_is_fetched(server, sets, monkeypatch):
    monkeypatch.setattr(fetching, "public_sets", lambda: {"tiny": server.put(zipped(MEMBERS)), "other": None})
    with pytest.raises(InputError, match=r"sets/tyni does not exist, and 'tyni' is no public data set.*: tiny, other$"):
        fetch_missing([sets / "tiny", sets / "tyni"])
    assert names_in(sets) == []
    assert server.asked == []
    with pytest.raises(InputError, match="^'tyni' is no public data set"):
        fetch("tyni", sets / "tyni")


def test_the_table_names_every_public_set_of_beir():
    table = public_sets()
    assert list(table) == [
        "arguana", "climate-fever", "cqadupstack", "dbpedia-entity", "fever", "fiqa", "hotpotqa", "msmarco",
        "nfcorpus", "nq", "quora", "scidocs", "scifact", "trec-covid", "webis-touche2020",
    ]  # fmt: skip
    assert len({one.md5 for one in table.values()}) == len(table)
    for name, one in table.items():
        assert one.name == name
        assert one.url == f"https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets/{name}.zip"
        assert re.fullmatch("[0-9a-f]{32}", one.md5)
        assert 1_000_000 < one.n_bytes < 10_000_000_000
    assert (table["scifact"].md5, table["scifact"].n_bytes) == ("5f7d1de60b170fc8027bb7898e2efca1", 2_816_079)
