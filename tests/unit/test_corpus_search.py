"""One corpus after the other in a retriever of one's own or in temporary ones."""

import subprocess
import sys

import pytest
from tiny_packs import write_pack

from routeret.encoders.hashing import HashingEncoder
from routeret.errors import CorpusError, DuplicateIdError, InputError, UnknownDocumentError
from routeret.integrations.corpus_search import CorpusSearch
from routeret.retriever import Retriever
from routeret.types import Document

FRUIT = [Document("a", "red apple"), Document("b", "yellow banana"), Document("c", "", title="sour lemon")]


class Counting(HashingEncoder):
    """Remembers the texts of all documents that it embedded."""

    def __init__(self):
        super().__init__(dim=32)
        self.embedded = []

    def encode_documents(self, documents):
        self.embedded += [f"{document.title}{document.text}" for document in documents]
        return super().encode_documents(documents)


@pytest.fixture
def encoder():
    return Counting()


@pytest.fixture
def kb(tmp_path, encoder):
    with Retriever.create(tmp_path / "kb", base=encoder) as retriever:
        yield retriever


def best(search, **queries):
    return {query: next(iter(scores)) for query, scores in search.run(queries, 3).items()}


def test_a_corpus_is_embedded_once_and_another_one_anew(encoder):
    with CorpusSearch.create(base=encoder) as search:
        search.hold(FRUIT)
        assert sorted(encoder.embedded) == ["red apple", "sour lemon", "yellow banana"]
        assert best(search, q1="lemon", q2="apple") == {"q1": "c", "q2": "a"}
        search.hold([Document(one.id, one.text, title=one.title) for one in FRUIT])
        assert len(encoder.embedded) == 3
        # The same ids with other texts.
        search.hold([Document("a", "sour lemon"), Document("b", "red apple")])
        assert sorted(encoder.embedded[3:]) == ["red apple", "sour lemon"]
        assert best(search, q1="lemon", q2="apple") == {"q1": "a", "q2": "b"}
        search.hold(FRUIT)
        assert best(search, q1="lemon", q2="apple") == {"q1": "c", "q2": "a"}
        assert len(search.retriever) == 3


def test_a_pack_weighs_its_experts_and_bm25_as_its_retriever_does(tmp_path):
    pack = write_pack(tmp_path / "tiny")
    texts = {"q1": "a yellow apple", "q2": "a lemon"}
    with Retriever.create(tmp_path / "kb", pack=pack) as retriever, CorpusSearch.create(pack=pack) as search:
        retriever.add(FRUIT)
        search.hold(FRUIT)
        found = retriever.search_batch(list(texts.values()), 3)
        assert {"multitask", "bm25"} <= set(found[0].routing.weights)
        expected = {query: [(hit.id, hit.score) for hit in hits] for query, hits in zip(texts, found, strict=True)}
        assert {query: list(scores.items()) for query, scores in search.run(texts, 3).items()} == expected
        # More than there are gives all of them; fewer gives the best.
        assert search.run(texts, 1000) == search.run(texts, 3)
        assert [list(scores.items()) for scores in search.run(texts, 1).values()] == [
            hits[:1] for hits in expected.values()
        ]


def test_many_queries_are_searched_part_by_part(encoder, monkeypatch):
    monkeypatch.setattr("routeret.integrations.corpus_search._QUERIES_AT_ONCE", 2)
    queries = {f"q{number}": FRUIT[number % 3].text or "lemon" for number in range(5)}
    with CorpusSearch.create(base=encoder) as search:
        search.hold(FRUIT)
        assert best(search, **queries) == {"q0": "a", "q1": "b", "q2": "c", "q3": "a", "q4": "b"}
        assert search.run({}, 3) == {}


def test_self_hits_can_be_left_out_and_cost_no_place(encoder):
    with CorpusSearch.create(base=encoder) as search:
        search.hold(FRUIT)
        queries = {"a": "red apple", "q": "red apple"}
        assert [next(iter(scores)) for scores in search.run(queries, 2).values()] == ["a", "a"]
        run = search.run(queries, 2, drop_self_hits=True)
        assert set(run["a"]) == {"b", "c"}
        assert len(run["q"]) == 2
        assert "a" in run["q"]


def test_an_empty_retriever_of_ones_own_takes_the_corpus_and_keeps_it(kb, encoder):
    with CorpusSearch(kb) as search:
        search.hold(FRUIT)
        search.hold(FRUIT)
        assert search.retriever is kb
        assert len(encoder.embedded) == 3
        assert best(search, q="lemon") == {"q": "c"}
    # It is still open.
    assert kb.search("lemon")[0].id == "c"


def test_a_retriever_of_ones_own_must_hold_the_corpus_that_is_searched(kb):
    kb.add(FRUIT)
    search = CorpusSearch(kb)
    search.hold(FRUIT[::-1])
    with pytest.raises(InputError, match="index 'kb' holds 3 documents, the corpus has 2; give a retriever without"):
        search.hold(FRUIT[:2])
    with pytest.raises(UnknownDocumentError, match=r"document 'd' of the corpus is not in index 'kb' \(1 of 4 are not"):
        search.hold([*FRUIT, Document("d", "ripe mango")])
    with pytest.raises(
        InputError, match=r"document 'b' has another text in index 'kb' than in the corpus \(1 of 3 have"
    ):
        search.hold([FRUIT[0], Document("b", "green banana"), FRUIT[2]])
    kb.sync(FRUIT[:2])
    search.hold(FRUIT[:2])
    assert len(kb) == 2


def test_documents_without_any_text_are_never_found(encoder):
    blank = [Document("x", " \n"), Document("y", "", title="")]
    with CorpusSearch.create(base=encoder) as search:
        search.hold([*blank, *FRUIT])
        assert set(search.run({"q": "apple"}, 10)["q"]) == {"a", "b", "c"}
        with pytest.raises(CorpusError, match="is empty"):
            search.hold(blank)
        with pytest.raises(CorpusError, match="is empty"):
            search.hold([])


def test_a_corpus_that_is_refused_is_not_taken_for_held(encoder):
    with CorpusSearch.create(base=encoder) as search:
        search.hold(FRUIT)
        twice = [Document("a", "red apple"), Document("a", "blue plum")]
        for _ in range(2):
            with pytest.raises(DuplicateIdError, match="'a' comes twice"):
                search.hold(twice)
        search.hold(FRUIT)
        assert best(search, q="banana") == {"q": "b"}


@pytest.mark.parametrize("text", ["", "  \t"])
def test_a_blank_query_is_named(encoder, text):
    with CorpusSearch.create(base=encoder) as search:
        search.hold(FRUIT)
        with pytest.raises(InputError, match="query 'q2' is blank"):
            search.run({"q1": "apple", "q2": text}, 3)
        with pytest.raises(InputError, match="k is 0, expected at least 1"):
            search.run({"q1": "apple"}, 0, drop_self_hits=True)


def test_what_is_temporary_goes_when_it_is_closed(encoder):
    with CorpusSearch.create(base=encoder) as search:
        folder = search.retriever.index.folder
        assert folder.is_dir()
    assert not folder.parent.exists()


def test_a_pack_of_another_base_leaves_no_folder(tmp_path, monkeypatch):
    pack = write_pack(tmp_path / "tiny")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ValueError, match="pack 'tiny'"):
        CorpusSearch.create(pack=pack, base=HashingEncoder(dim=16))
    assert [path.name for path in tmp_path.iterdir()] == ["tiny"]


def test_importing_the_integrations_loads_neither_library():
    code = (
        "import sys, routeret.integrations.beir, routeret.integrations.mteb; "
        "print(sorted({'beir', 'mteb', 'datasets', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
