"""Experts that compare the tokens of a query with the tokens of documents, from the encoder to the search."""

import json
from dataclasses import replace

import numpy as np
import pytest
from letters import write_letters
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from transformers import AutoTokenizer

from routeret.chunking import SentenceWindows
from routeret.corpus import Corpus
from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.errors import InputError
from routeret.evaluation.indexing import indexes_of
from routeret.experts import TowerExpert, load_expert
from routeret.experts.tower import TowerQueries
from routeret.index import Index
from routeret.index.reading import Reader
from routeret.index.row_format import RowFormat
from routeret.late_interaction import TokenTargets, soft_late_interaction
from routeret.retriever import Retriever, dense
from routeret.training.document_tokens import DocumentTokens
from routeret.training.embedded import embed_dataset
from routeret.training.measuring import divide
from routeret.training.towers import measured_model, tower_gains, tower_scores
from routeret.types import Document

DOCUMENTS = [
    Document(id=f"d{number}", text=text)
    for number, text in enumerate(["a b", "river bank", "c", "tax return card", "a b c d e f", "water : water"])
]
BASE = HashingEncoder(32)


@pytest.fixture(scope="module")
def model(tiny_models, tmp_path_factory):
    return tiny_models.write(tmp_path_factory.mktemp("model") / "tiny", prompts={"query": "query: "})


@pytest.fixture(scope="module")
def encoder(model):
    return TorchEncoder(model, device="cpu", precision="float32")


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32") as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


@pytest.fixture(autouse=True)
def _whole_precision(monkeypatch):
    """Whatever the processor offers, so that batches of other sizes give the same vectors."""
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: False)


def stored(vectors, storage):
    row_format = RowFormat(storage, vectors.shape[1])
    return row_format.unpacked(row_format.packed(vectors))


def max_sim(query, document):
    """The mean over the query's tokens of the highest cosine with a token of the document, by hand."""
    query = query / np.linalg.norm(query, axis=1, keepdims=True)
    return np.mean([max(document @ one / np.linalg.norm(document, axis=1)) for one in query])


def require_scores(retriever, encoder, documents, score, query="a river"):
    """A search with the expert finds all documents, with the scores of a twin that embeds everything."""
    tokens = encoder.encode_query_tokens([query])[0]
    hits = retriever.search(query, len(documents), expert="fine")
    expected = {one.id: score(tokens, one) for one in documents}
    assert {hit.id for hit in hits} == set(expected)
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(scores, [expected[hit.id] for hit in hits], atol=1e-3)
    assert max(scores) - min(scores) > 0.02


def test_one_pass_gives_the_documents_and_their_tokens(encoder):
    encoded, tokens = encoder.encode_document_tokens(DOCUMENTS)
    expected = encoder.encode_documents(DOCUMENTS)
    np.testing.assert_array_equal(encoded.vectors, expected.vectors)
    np.testing.assert_array_equal(encoded.truncated, expected.truncated)
    # Every text stands between two special tokens.
    assert [len(one) for one in tokens] == [4, 4, 3, 5, 8, 5]
    assert encoded.n_tokens == expected.n_tokens == 29
    pooled = np.stack([one.mean(axis=0) for one in tokens])
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(pooled, encoded.vectors, atol=1e-5)


def test_tokens_of_documents_are_those_of_queries_without_the_prompt(model, encoder):
    unprompted = TorchEncoder(model, device="cpu", precision="float32", query_prompt="")
    _, tokens = encoder.encode_document_tokens([DOCUMENTS[1]])
    np.testing.assert_allclose(tokens[0], unprompted.encode_query_tokens([DOCUMENTS[1].text])[0], atol=1e-5)


def test_long_empty_and_no_documents(encoder):
    encoded, tokens = encoder.encode_document_tokens([Document(id="", text="a " * 500), Document(id="", text="")])
    assert encoded.truncated.tolist() == [True, False]
    assert [len(one) for one in tokens] == [16, 2]
    assert encoded.n_tokens == 18
    encoded, tokens = encoder.encode_document_tokens([])
    assert (encoded.vectors.shape, encoded.truncated.shape, encoded.n_tokens) == ((0, 32), (0,), 0)
    assert tokens == []


def test_a_model_that_changes_the_pooled_vector_gives_no_tokens(tiny_models, tmp_path):
    encoder = TorchEncoder(tiny_models.write(tmp_path / "dense", dense=8), device="cpu")
    with pytest.raises(InputError, match="token vectors are comparable with pooled ones only after mean pooling"):
        encoder.encode_document_tokens(DOCUMENTS)


@pytest.mark.parametrize("storage", ["fp16", "int8"])
def test_a_search_scores_as_a_twin_that_embeds_everything(kb, model, encoder, storage):
    kb.add_model(model, name="fine", interaction=0.3, token_storage=storage)

    def score(query, document):
        tokens = stored(encoder.encode_document_tokens([document])[1][0], storage)
        targets = TokenTargets.of(tokens, np.array([len(tokens)]))
        return soft_late_interaction([query], targets, temperature=0.3)[0, 0]

    require_scores(kb, encoder, DOCUMENTS, score)
    more = Document(id="more", text="bank card")
    changed = replace(DOCUMENTS[2], text="river : river")
    kb.add([more])
    kb.upsert([changed])
    kb.delete(["d0"])
    kb.compact()
    require_scores(kb, encoder, [DOCUMENTS[1], *DOCUMENTS[3:], more, changed], score)
    with Retriever.open(kb.index.folder) as opened:
        require_scores(opened, encoder, [DOCUMENTS[1], *DOCUMENTS[3:], more, changed], score)
        assert opened.verify().is_whole


def test_temperature_0_is_max_sim(kb, model, encoder):
    kb.add_model(model, name="fine", interaction=0.0, token_storage="fp16")

    def score(query, document):
        return max_sim(query, encoder.encode_document_tokens([document])[1][0])

    require_scores(kb, encoder, DOCUMENTS, score)


def test_few_spans_have_their_tokens_in_memory_at_once(kb, model, encoder, monkeypatch):
    kb.add_model(model, name="fine", interaction=0.0, token_storage="fp16")
    read, asked = Reader.token_vectors, []

    def noting(reader, rows, *, space):
        asked.append(len(rows))
        return read(reader, rows, space=space)

    monkeypatch.setattr(dense, "_TOKEN_ROWS", 4)
    monkeypatch.setattr(Reader, "token_vectors", noting)

    def score(query, document):
        return max_sim(query, encoder.encode_document_tokens([document])[1][0])

    require_scores(kb, encoder, DOCUMENTS, score)
    assert asked == [4, 2]


def test_the_best_span_gives_the_score_of_a_document(model, encoder, tmp_path):
    chunker = SentenceWindows(size=20, overlap=0)
    document = Document(id="long", text="River bank and water. Tax return on a card.")
    with Retriever.create(tmp_path / "kb", base="hashing-32", chunker=chunker) as kb:
        kb.add([document, DOCUMENTS[0]])
        kb.add_model(model, name="fine", interaction=0.0, token_storage="fp16")
        hit = next(hit for hit in kb.search("tax", 2, expert="fine") if hit.id == "long")
        spans = [replace(document, text=document.text[slice(*span)]) for span in chunker.spans(document)]
        query = encoder.encode_query_tokens(["tax"])[0]
        scores = [max_sim(query, one) for one in encoder.encode_document_tokens(spans)[1]]
        assert len(spans) == 3
        assert document.text[slice(*hit.span)] == spans[int(np.argmax(scores))].text
        assert hit.score == pytest.approx(max(scores), abs=1e-3)


@pytest.mark.parametrize("merged", [False, True])
def test_the_indexes_of_an_evaluation_hold_the_tokens_that_experts_compare(encoder, tmp_path, merged):
    dataset = load_dataset(write_letters(tmp_path / "words"))
    expert = TowerExpert("fine", encoder, 1.0, np.zeros(0, dtype=np.uint64), interaction=0.1, token_storage="int8")
    pooled = replace(expert, token_storage=None)
    cache = tmp_path / "cache"
    for towers in ([pooled], [expert], [expert]):
        with indexes_of([dataset], BASE, towers=towers, merged=merged, cache=cache, show_progress=False) as indexes:
            held = indexes["words"].index.info()["spaces"][encoder.space.fingerprint]
            assert held["rows"] == 8
    # Every document is one letter between two special tokens.
    assert held["tokens"]["tokens"] == 24


def indexed_tokens(dataset, towers, cache, *, merged=False):
    """The precision in which the index of an evaluation keeps tokens, and how many rows have theirs."""
    with indexes_of([dataset], BASE, towers=towers, merged=merged, cache=cache, show_progress=False) as indexes:
        held = indexes["words"].index.info()["spaces"][towers[0].space.fingerprint]
        return held["tokens"]["storage"], held["rows"]


@pytest.mark.parametrize("merged", [False, True])
def test_an_evaluation_never_compares_tokens_of_another_precision_from_its_cache(encoder, tmp_path, merged):
    dataset, cache = load_dataset(write_letters(tmp_path / "words")), tmp_path / "cache"
    half = TowerExpert("half", encoder, 1.0, np.zeros(0, dtype=np.uint64), interaction=0.1, token_storage="fp16")
    byte, pooled = replace(half, name="byte", token_storage="int8"), replace(half, name="pooled", token_storage=None)
    assert indexed_tokens(dataset, [half], cache, merged=merged) == ("fp16", 8)
    assert indexed_tokens(dataset, [pooled, byte], cache, merged=merged) == ("int8", 8)
    assert indexed_tokens(dataset, [byte, pooled], cache, merged=merged) == ("int8", 8)
    with pytest.raises(InputError, match="as int8, wanted is fp16"):
        indexed_tokens(dataset, [byte, half], cache, merged=merged)
    assert indexed_tokens(dataset, [half], cache, merged=merged) == ("fp16", 8)


def test_a_model_without_comparable_tokens_leaves_its_space_as_it_is(tiny_models, tmp_path):
    dense = TorchEncoder(tiny_models.write(tmp_path / "dense", dense=8), device="cpu", precision="float32")
    with Index.create(tmp_path / "kb", BASE.space) as index:
        index.add(Corpus.of(DOCUMENTS), BASE)
        index.add_space(dense)
        with pytest.raises(InputError, match="has no token vectors whose mean is its pooled one"):
            index.add_space(dense, tokens="fp16")
        held = index.info()["spaces"][dense.space.fingerprint]
        assert (held["rows"], "tokens" in held) == (6, False)
        index.add(Corpus.of([Document(id="more", text="bank")]), [BASE, dense])
        assert index.info()["spaces"][dense.space.fingerprint]["rows"] == 7


def test_removing_the_expert_forgets_the_tokens(kb, model, encoder):
    kb.add_model(model, name="fine", interaction=0.1, token_storage="int8")
    # 4, 4, 3, 5, 8 and 5 tokens of 32 bytes and a scale, and where each of the 6 documents ends.
    assert kb.info()["spaces"][encoder.space.fingerprint]["tokens"] == {
        "storage": "int8",
        "tokens": 29,
        "bytes": 29 * (4 + 32) + 6 * 8,
    }
    kb.remove_expert("fine")
    assert list(kb.info()["spaces"]) == [BASE.space.fingerprint]


def test_what_an_interrupted_call_left_in_another_precision_is_forgotten(kb, model, encoder):
    with Index.open(kb.index.folder) as index:
        index.add_space(encoder, tokens="fp16")
    kb.add_model(model, name="fine", interaction=0.1, token_storage="int8")
    assert kb.info()["spaces"][encoder.space.fingerprint]["tokens"]["storage"] == "int8"
    assert kb.verify().is_whole


def test_experts_of_one_space_share_its_tokens(kb, model, encoder):
    kb.add_model(model, name="pooled", interaction=0.1)
    assert "tokens" not in kb.info()["spaces"][encoder.space.fingerprint]
    kb.add_model(model, name="fine", interaction=0.0, token_storage="int8")
    with pytest.raises(InputError, match="as int8, wanted is fp16"):
        kb.add_model(model, name="finer", interaction=0.0, token_storage="fp16")
    kb.add([Document(id="more", text="bank card")])

    def score(query, document):
        return max_sim(query, stored(encoder.encode_document_tokens([document])[1][0], "int8"))

    require_scores(kb, encoder, [*DOCUMENTS, Document(id="more", text="bank card")], score)
    kb.remove_expert("fine")
    assert "tokens" not in kb.info()["spaces"][encoder.space.fingerprint]
    assert len(kb.search("a river", 7, expert="pooled")) == 7
    kb.add_model(model, name="finer", interaction=0.0, token_storage="fp16")
    assert kb.info()["spaces"][encoder.space.fingerprint]["tokens"]["storage"] == "fp16"


def test_tokens_that_were_never_finished_do_not_stop_documents_from_coming(kb, model, encoder, monkeypatch):
    kb.add_model(model, name="pooled", interaction=0.1)
    with monkeypatch.context() as patched:
        patched.setattr(TorchEncoder, "encode_document_tokens", interrupted)
        with pytest.raises(KeyboardInterrupt):
            kb.add_model(model, name="fine", interaction=0.0, token_storage="int8")
    assert len(kb.search("a river", 6, expert="pooled")) == 6
    kb.add([Document(id="more", text="bank card")])
    held = kb.info()["spaces"][encoder.space.fingerprint]
    assert (held["rows"], "tokens" in held) == (7, False)
    kb.add_model(model, name="fine", interaction=0.0, token_storage="fp16")
    assert len(kb.search("a river", 7, expert="fine")) == 7


def interrupted(*_):
    raise KeyboardInterrupt


def test_the_precision_travels_with_the_expert(encoder, tmp_path):
    expert = TowerExpert("fine", encoder, 0.5, np.zeros(0, dtype=np.uint64), interaction=0.2, token_storage="int8")
    expert.save(tmp_path / "fine")
    assert json.loads((tmp_path / "fine" / "manifest.json").read_text())["token_storage"] == "int8"
    loaded = load_expert(tmp_path / "fine")
    assert (loaded.interaction, loaded.token_storage, loaded.targets) == (0.2, "int8", "tokens")
    assert loaded.encode_queries(["a"]).targets == "tokens"
    assert replace(expert, token_storage=None).encode_queries(["a"]).targets == "pooled"


@pytest.mark.parametrize(
    ("encoder_of", "settings", "message"),
    [
        ("tiny", {"token_storage": "fp16"}, "keeps documents' tokens as fp16 without interaction"),
        ("tiny", {"token_storage": "fp32", "interaction": 0.1}, "token storage is 'fp32', expected one of fp16, int8"),
        ("static", {"interaction": 0.1}, "interaction 0.1 and a TorchEncoder"),
        ("hashing", {"token_storage": "fp16", "interaction": 0.1}, "interaction 0.1 and a HashingEncoder"),
    ],
)
def test_an_expert_that_cannot_compare_tokens_is_refused(encoder, tmp_path, encoder_of, settings, message):
    chosen = {"tiny": encoder, "static": static_model(encoder, tmp_path), "hashing": BASE}[encoder_of]
    with pytest.raises(InputError, match=message):
        TowerExpert("fine", chosen, 0.5, np.zeros(0, dtype=np.uint64), model="hashing-32", **settings)


def static_model(like, folder):
    """A model without layers: a text is the mean of what is looked up for its tokens."""
    static = StaticEmbedding(AutoTokenizer.from_pretrained(like.folder), embedding_dim=8)
    SentenceTransformer(modules=[static], device="cpu").save(str(folder / "static"), create_model_card=False)
    return TorchEncoder(folder / "static", device="cpu")


def test_tokens_for_queries_of_one_vector_are_refused():
    targets = TokenTargets.of(np.ones((3, 2), dtype=np.float32), np.array([1, 2]))
    with pytest.raises(InputError, match="2 documents came as token vectors, the query is one vector"):
        TowerQueries(np.ones((1, 2), dtype=np.float32)).scores(0, targets)


@pytest.mark.parametrize("storage", ["fp16", "int8"])
def test_gains_are_measured_with_the_tokens_that_an_index_keeps(encoder, tmp_path, storage):
    dataset = load_dataset(write_letters(tmp_path / "words"))
    expert = TowerExpert("fine", encoder, 1.0, np.zeros(0, dtype=np.uint64), interaction=0.1, token_storage=storage)
    measured = measured_model(expert, data=[tmp_path / "words"], base=BASE)
    embedded, own = embed_dataset(dataset, BASE), embed_dataset(dataset, encoder)
    vectors = [stored(one, storage) for one in encoder.encode_document_tokens(dataset.load_documents())[1]]
    tokens = TokenTargets.of(np.concatenate(vectors), np.array([len(one) for one in vectors]))
    before, judged = (one.judged(divide(one).dev) for one in (embedded, own))
    asked = expert.encode_queries(divide(embedded).dev.texts)
    expected = soft_late_interaction(asked.tokens, tokens, temperature=0.1)
    np.testing.assert_array_equal(tower_scores(judged, slice(None), asked=asked, tokens=tokens), expected)
    gains = tower_gains(before, judged, asked=asked, tokens=tokens)
    (scores,) = measured.scores
    np.testing.assert_allclose(scores.gains[:, 0], gains, atol=1e-6)
    assert not np.allclose(tower_gains(before, judged, asked=asked), gains, atol=1e-6)
    assert measured.expert.token_storage == storage


def test_a_measured_expert_of_one_vector_embeds_no_tokens(monkeypatch):
    monkeypatch.setattr(TorchEncoder, "encode_document_tokens", lambda *_: pytest.fail("tokens were embedded"))
    encoder = DocumentTokens(TowerExpert("other", BASE, 1.0, np.zeros(0, dtype=np.uint64), model="hashing-32"))
    np.testing.assert_array_equal(encoder.encode_documents(DOCUMENTS).vectors, BASE.encode_documents(DOCUMENTS).vectors)
    assert encoder.targets() is None
