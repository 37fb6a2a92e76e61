import gzip
import json

import pytest

from routeret.corpus import Corpus, scan
from routeret.errors import CorpusError, DuplicateIdError, InputError
from routeret.types import Document

LINES = [
    {"_id": "a", "title": "Taxes", "text": "File jointly.", "lang": "en"},
    {"_id": "b", "text": "Straße – 東京", "metadata": {"year": 2024}, "tags": ["x"]},
]


def json_lines(path, values):
    content = "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def expected_documents():
    return [
        Document(id="a", title="Taxes", text="File jointly.", metadata={"lang": "en"}),
        Document(id="b", text="Straße – 東京", metadata={"year": 2024, "tags": ["x"]}),
    ]


@pytest.mark.parametrize("name", ["docs.jsonl", "docs.jsonl.gz"])
def test_json_lines_give_documents_and_their_places(tmp_path, name):
    path = json_lines(tmp_path / name, LINES)
    corpus = Corpus.from_path(path)
    assert corpus.name == "docs"
    assert list(corpus) == expected_documents()
    assert [place for _, place in corpus.located()] == [f"{path}:1", f"{path}:2"]
    assert list(corpus) == expected_documents(), "reading twice gives the same"


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.jsonl.gz"])
def test_beir_folder_is_called_by_its_folder(tmp_path, name):
    folder = tmp_path / "nfcorpus"
    folder.mkdir()
    json_lines(folder / name, LINES)
    (folder / "README.md").write_text("# not a document")
    assert Corpus.of(str(folder)).name == "nfcorpus"
    assert Corpus.of(folder / name).name == "nfcorpus"
    assert list(Corpus.of(folder)) == expected_documents()


def test_both_beir_files_are_an_error(tmp_path):
    json_lines(tmp_path / "corpus.jsonl", LINES)
    json_lines(tmp_path / "corpus.jsonl.gz", LINES)
    with pytest.raises(CorpusError, match="both corpus.jsonl and corpus.jsonl.gz"):
        Corpus.of(tmp_path)


def test_csv_with_named_columns(tmp_path):
    path = tmp_path / "faq.csv"
    path.write_bytes('\ufefftext,id,title,lang\n"two\nlines, ""quoted""",1,T,en\n\nplain,2,,de\n'.encode())
    assert list(Corpus.from_path(path)) == [
        Document(id="1", title="T", text='two\nlines, "quoted"', metadata={"lang": "en"}),
        Document(id="2", text="plain", metadata={"lang": "de"}),
    ]
    assert [place for _, place in Corpus.from_path(path).located()] == [f"{path}:2", f"{path}:5"]


def test_columns_can_be_named(tmp_path):
    path = tmp_path / "faq.csv"
    path.write_text("sku,name,body\n7,Pen,Writes.\n")
    corpus = Corpus.from_path(path, name="shop", id="sku", title="name", text="body")
    assert [document.id for document in corpus.with_prefix()] == ["shop/7"]
    assert list(corpus) == [Document(id="7", title="Pen", text="Writes.")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,text\n1\n", r"faq.csv:2 has 1 cells, the header has 2 columns \(id, text\)"),
        ("id,id,text\n1,2,3\n", "faq.csv:1 names a column twice"),
        ("sku,text\n1,x\n", r"faq.csv:2 has no '_id' or 'id'; it has 'sku', 'text'"),
        ('id,text\n1,"open\n', "faq.csv:2 is not valid CSV"),
        ("id,text\n", "corpus 'faq' is empty"),
    ],
)
def test_broken_csv(tmp_path, content, message):
    path = tmp_path / "faq.csv"
    path.write_text(content)
    with pytest.raises(CorpusError, match=message):
        list(Corpus.from_path(path))


def test_folder_of_texts(tmp_path):
    folder = tmp_path / "notes"
    (folder / "sub").mkdir(parents=True)
    (folder / ".git").mkdir()
    (folder / "b.txt").write_text("# not a heading here")
    (folder / "a.md").write_text("intro\n```\n# a comment\n```\n## Größe ##\nbody")
    (folder / "sub" / "c.md").write_text("no heading")
    (folder / ".git" / "d.md").write_text("hidden")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    found = [(document.id, document.title) for document in Corpus.of(folder)]
    assert found == [("a.md", "Größe"), ("b.txt", "b"), ("sub/c.md", "c")]


def test_blank_lines_are_left_out_and_counted(tmp_path):
    path = tmp_path / "docs.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n\n  \n{"id": "b", "text": "y"}\n\n')
    assert [place for _, place in Corpus.of(path).located()] == [f"{path}:1", f"{path}:4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", "docs.jsonl:2 is not valid JSON"),
        ("[1]", "docs.jsonl:2 is a JSON list, expected an object"),
        ('{"text": "x"}', "docs.jsonl:2 has no '_id' or 'id'; it has 'text'"),
        ('{"_id": 5, "text": "x"}', r"docs.jsonl:2 has the id 5 \(int\); ids must be strings"),
        ('{"_id": " ", "text": "x"}', "docs.jsonl:2 has a blank id"),
        ('{"_id": "b", "text": " ", "title": null}', r"docs.jsonl:2 has no text \(document 'b'\)"),
        ('{"_id": "b", "text": ["x"]}', "docs.jsonl:2 has a 'text' of kind list"),
        ('{"_id": "b", "text": "x", "y": 1, "metadata": {"y": 2}}', "docs.jsonl:2 has 'y' twice"),
        ('{"_id": "b", "text": "\\ud800"}', "docs.jsonl:2 has half a surrogate pair"),
    ],
)
def test_broken_line_is_named(tmp_path, line, message):
    path = tmp_path / "docs.jsonl"
    path.write_text(f'{{"_id": "a", "text": "x"}}\n{line}\n')
    with pytest.raises(CorpusError, match=message):
        list(Corpus.of(path))


def test_bad_bytes_are_named(tmp_path):
    path = tmp_path / "docs.jsonl"
    path.write_bytes(b'{"_id": "a", "text": "x"}\n{"_id": "b", "text": "\xff"}\n')
    with pytest.raises(CorpusError, match="docs.jsonl:2 is not UTF-8"):
        list(Corpus.of(path))
    packed = tmp_path / "cut.jsonl.gz"
    packed.write_bytes(gzip.compress(b'{"_id": "a", "text": "x"}\n')[:-9])
    with pytest.raises(CorpusError, match=r"cut.jsonl.gz:\d is not whole gzip data"):
        list(Corpus.of(packed))
    packed.write_text("not gzip")
    with pytest.raises(CorpusError, match=r"cut.jsonl.gz:1 is not whole gzip data"):
        list(Corpus.of(packed))


def test_missing_empty_and_unknown(tmp_path):
    with pytest.raises(CorpusError, match="nowhere does not exist; give a BEIR folder"):
        Corpus.of(tmp_path / "nowhere")
    (tmp_path / "slides.pdf").write_bytes(b"%PDF")
    with pytest.raises(CorpusError, match=r"slides.pdf is of an unknown kind; .*\.jsonl\.gz.*\.csv.*\.md"):
        Corpus.of(tmp_path / "slides.pdf")
    with pytest.raises(CorpusError, match="holds neither a corpus.jsonl nor .txt or .md files"):
        list(Corpus.of(tmp_path))
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(CorpusError, match="corpus 'empty' is empty"):
        list(Corpus.of(tmp_path / "empty.jsonl"))


def test_documents_from_memory():
    corpus = Corpus.of([Document(id="a", text="x"), {"id": "b", "text": "y", "lang": "de"}])
    assert list(corpus) == [Document(id="a", text="x"), Document(id="b", text="y", metadata={"lang": "de"})]
    assert [place for _, place in corpus.located()] == ["documents[0]", "documents[1]"]
    assert Corpus.of(corpus) is corpus
    with pytest.raises(CorpusError, match=r"documents\[0\] has no text"):
        list(Corpus.of([Document(id="a", text="\n")]))
    with pytest.raises(CorpusError, match=r"documents\[0\] is a int"):
        list(Corpus.of([3]))
    with pytest.raises(InputError, match="documents are dict"):
        Corpus.of({"id": "a", "text": "x"})
    with pytest.raises(CorpusError, match="is empty"):
        list(Corpus.of([]))


def test_an_iterator_is_read_once_only():
    corpus = Corpus.of(iter([Document(id="a", text="x")]))
    assert len(list(corpus)) == 1
    with pytest.raises(InputError, match="was read already and is an iterator; give a list"):
        list(corpus)


def test_scan_counts_and_names_both_places(tmp_path):
    first = Corpus.of(json_lines(tmp_path / "one.jsonl", LINES))
    second = Corpus.of(json_lines(tmp_path / "two.jsonl", LINES[1:]))
    with pytest.raises(DuplicateIdError) as raised:
        scan([first, second])
    assert f"'b' comes twice: at {tmp_path}/one.jsonl:2 and at {tmp_path}/two.jsonl:1" in str(raised.value)
    assert "--prefix-ids" in str(raised.value)
    assert scan([first.with_prefix(), second.with_prefix()]) == 3
    assert scan([first]) == 2
    with pytest.raises(DuplicateIdError, match="comes twice.*remove one of the two"):
        scan([Corpus.of([LINES[0], LINES[0]])])
    with pytest.raises(DuplicateIdError, match="both corpora are called 'documents'"):
        scan([Corpus.of([LINES[0]]).with_prefix(), Corpus.of([LINES[0]]).with_prefix()])
