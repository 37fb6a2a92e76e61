"""The experts of one mixture in one retriever: documents are embedded once, in one space."""

import shutil

import numpy as np
import pytest
from tiny_mixtures import DOCUMENTS, DOMAINS, TEXTS, write_mixture, write_telling_mixture
from tiny_packs import pilot_corpus, write_expert

from routeret.encoders import HashingEncoder
from routeret.encoders.moe import MoeEncoder
from routeret.experts import TowerExpert, load_expert, load_experts
from routeret.retriever import Retriever
from routeret.routing import RoutingBatch
from routeret.training.towers import measured_expert
from routeret.types import Document

BASE = HashingEncoder(32)
ASKED = {"law": "return of a tax", "river": "a bank of the river"}
NEW = Document(id="new", text="river card")


def write_experts(model, folder, *, how="scores"):
    """An expert for every domain, which refers to the model; no queries were measured, with a fusion."""
    for domain in DOMAINS:
        encoder = MoeEncoder(model, domain=domain, device="cpu", precision="float32")
        expert = TowerExpert(domain, encoder, model=str(model))
        measured_expert(expert, [], query_tower=BASE.query_tower, how=how).save(folder / domain)
    return folder


def write_measured_experts(model, folder):
    """The same with pilots: each knows the documents of its own domain, helps there and harms the other."""
    for domain in DOMAINS:
        known = [document.content_key for document in DOCUMENTS if document.id[0] == domain[0]]
        encoder = MoeEncoder(model, domain=domain, device="cpu", precision="float32")
        expert = TowerExpert(domain, encoder, 1.0, np.array(known, dtype=np.uint64), model=str(model))
        corpora = [
            pilot_corpus(other, {domain: 0.5 if other == domain else -1.0}, texts=TEXTS[other], home=[other])
            for other in DOMAINS
        ]
        write_expert(folder / domain, expert, *corpora)
    return folder


@pytest.fixture(autouse=True)
def in_float32(monkeypatch):
    """Documents are computed alike on every processor."""
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: False)


@pytest.fixture(scope="module")
def mixture(e5_model, tmp_path_factory):
    """A model and its experts; read only."""
    folder = tmp_path_factory.mktemp("mixture")
    model = write_telling_mixture(e5_model, folder / "model")
    return model, write_experts(model, folder / "experts")


@pytest.fixture
def embedded(monkeypatch):
    """The ids of the documents that a mixture wrote, call after call."""
    ids = []
    encode_documents = MoeEncoder.encode_documents

    def watched(encoder, documents):
        ids.extend(document.id for document in documents)
        return encode_documents(encoder, documents)

    monkeypatch.setattr(MoeEncoder, "encode_documents", watched)
    return ids


@pytest.fixture
def kb(tmp_path):
    with Retriever.create(tmp_path / "kb", base="hashing-32", device="cpu") as retriever:
        retriever.add(DOCUMENTS)
        yield retriever


def space_of(model):
    return MoeEncoder(model, domain="law").space.fingerprint


def test_the_second_expert_embeds_nothing(kb, mixture, embedded):
    model, experts = mixture
    kb.add_expert(experts / "law")
    assert sorted(embedded) == sorted(document.id for document in DOCUMENTS)
    embedded.clear()
    kb.add_expert(experts / "river")
    assert embedded == []
    assert kb.expert_names == ("law", "river")
    held = kb.info()["spaces"]
    assert {space: one["rows"] for space, one in held.items()} == {BASE.space.fingerprint: 8, space_of(model): 8}
    assert kb.verify().is_whole


def test_a_new_document_is_embedded_once_for_both(kb, mixture, embedded):
    for name in DOMAINS:
        kb.add_expert(mixture[1] / name)
    embedded.clear()
    kb.add([NEW])
    assert embedded == ["new"]
    assert {one["rows"] for one in kb.info()["spaces"].values()} == {9}
    with Retriever.open(kb.index.folder, device="cpu") as opened:
        assert len(opened.search("river", 9, expert="law")) == 9


def test_a_model_that_cannot_tell_documents_embeds_them_for_every_expert(kb, e5_model, embedded, tmp_path):
    model = write_mixture(e5_model, tmp_path / "model")
    experts = write_experts(model, tmp_path / "experts")
    for name in DOMAINS:
        kb.add_expert(experts / name)
    assert len(embedded) == 2 * len(DOCUMENTS)
    assert len(kb.info()["spaces"]) == 3


@pytest.fixture(scope="module")
def scores_of(e5_model, tmp_path_factory):
    """Cosines of the documents with a query of a domain; each is written alone, by a model of the same weights that
    takes the domain as it is told."""
    folder = write_mixture(e5_model, tmp_path_factory.mktemp("silent") / "model")
    law = MoeEncoder(folder, domain="law", device="cpu", precision="float32")
    by_letter = {name[0]: law.in_domain(name) for name in DOMAINS}
    vectors = np.stack([by_letter[one.id[0]].encode_documents([one]).vectors[0] for one in DOCUMENTS])
    stored = vectors.astype(np.float16).astype(np.float64)

    def scores(domain, text):
        return stored @ law.in_domain(domain).encode_queries([text])[0].astype(np.float64)

    return scores


def test_a_query_of_each_domain_is_compared_with_documents_of_both(kb, mixture, scores_of):
    for name in DOMAINS:
        kb.add_expert(mixture[1] / name)
    for name, text in ASKED.items():
        expected = scores_of(name, text)
        hits = kb.search(text, 8, expert=name)
        assert [hit.id for hit in hits] == [DOCUMENTS[row].id for row in np.argsort(-expected, kind="stable")]
        np.testing.assert_allclose([hit.score for hit in hits], np.sort(expected)[::-1], atol=1e-3)
    assert np.abs(scores_of("law", ASKED["law"]) - scores_of("river", ASKED["law"])).max() > 0.01


@pytest.mark.parametrize("how", ["scores", "ranks"])
def test_two_experts_of_one_space_have_their_shares_in_one_ranking(mixture, scores_of, tmp_path, how):
    experts = write_experts(mixture[0], tmp_path / "experts", how=how)
    shares = {"base": 0.2, "law": 0.5, "river": 0.3}
    text = "river tax"
    with Retriever.create(tmp_path / "kb", base="hashing-32", space_fusion=how, device="cpu") as kb:
        kb.add(DOCUMENTS)
        for name in DOMAINS:
            kb.add_expert(experts / name)
        searcher = kb.searcher
        (block,) = searcher.blocks([text], depth=20)
        routing = RoutingBatch.constant(DOMAINS, 1, weights=shares, strengths=dict.fromkeys(DOMAINS, 1.0))
        ranking = searcher.rank(block, routing, 8)
        ids = searcher.index.documents(np.arange(8))
    stored = BASE.encode_documents(DOCUMENTS).vectors.astype(np.float16).astype(np.float64)
    base = stored @ BASE.encode_queries([text])[0].astype(np.float64)
    parts = {"base": base, **{name: scores_of(name, text) for name in DOMAINS}}
    expected = np.zeros(8)
    for name, scores in parts.items():
        if how == "ranks":
            ranks = [sorted(range(8), key=lambda row, of=scores: -of[row]).index(row) for row in range(8)]
            expected += shares[name] * 61 / (61 + np.array(ranks))
        else:
            expected += shares[name] * ((scores - scores.mean()) / scores.std() * base.std() + base.mean())
    assert [document.id for document in ids] == [document.id for document in DOCUMENTS]
    np.testing.assert_allclose(ranking.scores[0], expected[ranking.documents[0]], atol=2e-3)
    assert sorted(ranking.documents[0].tolist()) == list(range(8))


def test_the_router_chooses_the_domain_by_the_query(kb, mixture, scores_of, tmp_path):
    experts = write_measured_experts(mixture[0], tmp_path / "experts")
    for name in DOMAINS:
        kb.add_expert(experts / name)
    stored = BASE.encode_documents(DOCUMENTS).vectors.astype(np.float16).astype(np.float64)
    for name, other in (DOMAINS, DOMAINS[::-1]):
        hits = kb.search(ASKED[name], 8)
        weights = hits.routing.weights
        assert weights[name] > 0.9
        assert other not in weights
        share = weights[name] * hits.routing.strengths[name]
        assert 0.5 < share < 0.9
        query = BASE.encode_queries([ASKED[name]])
        base, own = stored @ query[0].astype(np.float64), scores_of(name, ASKED[name])
        router = kb.searcher.pool.router
        corpora = [one.name for one in router.library.corpora]
        guessed = dict(zip(corpora, router.guess.probabilities(query)[0], strict=True))
        lowered = router.settings.corpus_penalty * (guessed[name] - guessed[other])
        assert lowered > 0.05
        fused = (1 - share) * base + share * ((own - own.mean()) / own.std() * base.std() + base.mean())
        lexical = {hit.id: hit.score for hit in kb.search(ASKED[name], 8, expert="bm25")}
        best = max(lexical.values())
        by_id = {hit.id: hit.score for hit in hits}
        for document, score in zip(DOCUMENTS, fused, strict=True):
            expected = score + weights["bm25"] * lexical.get(document.id, 0.0) / best
            # Documents of the other domain's corpus, beside those of the one that the query looks like.
            expected -= lowered * (document.id[0] == other[0])
            assert by_id[document.id] == pytest.approx(expected, abs=2e-3)


def test_the_space_stays_until_the_last_expert_leaves(kb, mixture, embedded):
    model, experts = mixture
    for name in DOMAINS:
        kb.add_expert(experts / name)
    before = [hit.score for hit in kb.search("river", 8, expert="river")]
    embedded.clear()
    kb.remove_expert("law")
    assert set(kb.info()["spaces"]) == {BASE.space.fingerprint, space_of(model)}
    assert [hit.score for hit in kb.search("river", 8, expert="river")] == before
    kb.add_expert(experts / "law")
    assert embedded == []
    for name in DOMAINS:
        kb.remove_expert(name)
    assert set(kb.info()["spaces"]) == {BASE.space.fingerprint}
    assert not (kb.index.folder / "vectors" / space_of(model)).exists()


def test_an_expert_is_saved_with_the_model_and_loaded(mixture, tmp_path):
    model, _ = mixture
    encoder = MoeEncoder(model, domain="river", device="cpu")
    TowerExpert("river", encoder, 1.0, np.zeros(0, dtype=np.uint64)).save(tmp_path / "own")
    with Retriever.create(tmp_path / "kb", base="hashing-32", device="cpu") as kb:
        kb.add(DOCUMENTS)
        shutil.copytree(mixture[1] / "river" / "pilots", tmp_path / "own" / "pilots")
        kb.add_expert(tmp_path / "own")
        tower = kb.searcher.pool.tower_by_name["river"]
        assert (tower.space, tower.query_tower) == (encoder.space, encoder.query_tower)
        assert tower.encoder.tells_domains


def test_the_experts_of_a_mixture_share_its_weights_in_memory(mixture):
    _, experts = mixture
    first, second = load_experts([experts / name for name in DOMAINS], base=BASE)
    assert (first.encoder.domain, second.encoder.domain) == DOMAINS
    assert first.encoder._loaded() is second.encoder._loaded()
    alone = load_expert(experts / DOMAINS[1], base=BASE).encoder
    assert np.array_equal(second.encoder.encode_queries(["a bank"]), alone.encode_queries(["a bank"]))
    assert second.query_tower == alone.query_tower
