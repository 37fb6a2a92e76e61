"""MTEB's own evaluation of a local retrieval task on a routed retriever."""

import sys

import mteb
import pytest
from datasets import Dataset
from mteb.abstasks.retrieval import AbsTaskRetrieval
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models import CrossEncoderProtocol, EncoderProtocol, SearchProtocol
from tiny_beir import write_things
from tiny_packs import write_pack

from routeret.datasets import load_dataset
from routeret.errors import InputError, MissingExtraError
from routeret.evaluation import EvaluationSettings, evaluate
from routeret.integrations.mteb import RoutedModel
from routeret.measures import NDCG
from routeret.retriever import Retriever

FIELDS = ("id", "title", "text")


class Things(AbsTaskRetrieval):
    """A task over a BEIR folder on this machine."""

    ignore_identical_ids = True
    metadata = TaskMetadata(
        name="Things",
        type="Retrieval",
        description="Things by colour.",
        main_score="ndcg_at_10",
        dataset={"path": "local", "revision": "1"},
        category="t2t",
        modalities=["text"],
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        reference=None,
        date=None,
        domains=[],
        task_subtypes=[],
        license=None,
        annotations_creators=None,
        dialect=[],
        sample_creation=None,
        bibtex_citation=None,
    )

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def load_data(self, num_proc=None, **_):  # noqa: ARG002 - MTEB's signature
        dataset = load_dataset(self.folder)
        queries, qrels = dataset.split("test")
        documents = list(dataset.corpus)
        split = {
            "corpus": Dataset.from_dict({name: [getattr(one, name) for one in documents] for name in FIELDS}),
            "queries": Dataset.from_dict({"id": list(queries), "text": list(queries.values())}),
            "relevant_docs": qrels,
            "top_ranked": None,
        }
        self.dataset = {"default": {"test": split}}
        self.data_loaded = True


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_pack(tmp_path_factory.mktemp("packs") / "tiny")


def call(method, data, **more):
    """Call a method of MTEB's protocol with what MTEB passes besides."""
    return method(
        Dataset.from_dict(data),
        task_metadata=Things.metadata,
        hf_split="test",
        hf_subset="default",
        encode_kwargs={},
        num_proc=None,
        **more,
    )


@pytest.mark.slow
def test_ndcg_is_ours(pack, tmp_path):
    folder = write_things(tmp_path / "things")
    with RoutedModel.create(pack=pack) as model:
        # With a cache of its own, so that the names that MTEB makes of the model's are tried as well.
        cache = mteb.ResultCache(tmp_path / "cache")
        found = mteb.evaluate(model, Things(folder), cache=cache, co2_tracker=False, show_progress_bar=False)
        revision = model.mteb_model_meta.revision
    scores = found.task_results[0].scores["test"][0]
    ours = (
        evaluate([folder], pack=pack, settings=EvaluationSettings(systems=["base", "routed_hybrid"]))
        .datasets["things"]
        .systems
    )
    assert scores["ndcg_at_10"] == pytest.approx(ours["routed_hybrid"][NDCG], abs=1e-5)
    assert scores["recall_at_1000"] == 1.0
    # The pack makes a difference here, so the base alone would not have passed.
    assert abs(ours["base"][NDCG] - ours["routed_hybrid"][NDCG]) > 0.01
    assert (found.model_name, found.model_revision) == ("routeret/tiny", revision)
    assert [path.name for path in (tmp_path / "cache").rglob("Things.json")] == ["Things.json"]


def test_it_is_what_mteb_calls_a_search_model(pack):
    with RoutedModel.create(pack=pack) as model:
        assert isinstance(model, SearchProtocol)
        assert not isinstance(model, EncoderProtocol | CrossEncoderProtocol)
        assert model.mteb_model_meta.model_type == ["router"]
        assert model.mteb_model_meta.embed_dim == 32


def test_the_revision_tells_pools_apart_and_not_corpora(pack, tmp_path):
    other = write_pack(tmp_path / "tiny", multitask=False)
    revisions = []
    for chosen in (pack, pack, other):
        with RoutedModel.create(pack=chosen) as model:
            revisions.append(model.mteb_model_meta.revision)
            call(model.index, {"id": ["a"], "text": ["red apple"]})
            assert model.mteb_model_meta.revision == revisions[-1]
    assert revisions[0] == revisions[1] != revisions[2]
    with Retriever.create(tmp_path / "kb", base="hashing-32") as retriever:
        assert RoutedModel(retriever).mteb_model_meta.name == "routeret/retriever"


def test_titles_may_be_missing():
    with RoutedModel.create(base="hashing-32") as model:
        call(model.index, {"id": ["a", "b"], "text": ["red apple", "blue boat"]})
        # MTEB drops hits that are the query itself where a task says so, so they are found here.
        queries = {"id": ["1", "a"], "text": ["boat", "apple"]}
        assert [list(hits) for hits in call(model.search, queries, top_k=1).values()] == [["b"], ["a"]]
        call(
            model.index, {"id": ["a", "b", "c"], "title": [None, "", "lamp"], "text": ["red apple", "blue boat", None]}
        )
        assert list(call(model.search, {"id": ["1"], "text": ["lamp"]}, top_k=1)["1"]) == ["c"]


def test_instructions_and_conversations_become_one_text(monkeypatch):
    turns = [{"role": "user", "content": "red"}, {"role": "assistant", "content": "blue"}]
    asked = []
    with RoutedModel.create(base="hashing-32") as model:
        monkeypatch.setattr(model, "run", lambda queries, k: asked.append((queries, k)))
        call(model.search, {"id": ["1", "2"], "text": ["red", "blue"], "instruction": ["no boats", None]}, top_k=3)
        call(model.search, {"id": ["1"], "text": [["red", "blue"]]}, top_k=3)
        call(model.search, {"id": ["1"], "text": [turns], "instruction": ["no boats"]}, top_k=3)
    assert asked == [
        ({"1": "red no boats", "2": "blue"}, 3),
        ({"1": "red; blue"}, 3),
        ({"1": "no boats user: red; assistant: blue"}, 3),
    ]


def test_documents_to_rerank_are_refused():
    with RoutedModel.create(base="hashing-32") as model:
        call(model.index, {"id": ["a"], "text": ["red apple"]})
        with pytest.raises(InputError, match="task 'Things' has documents to rerank"):
            call(model.search, {"id": ["1"], "text": ["apple"]}, top_k=1, top_ranked={"1": ["a"]})


def test_without_mteb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mteb.models.model_meta", None)
    with (
        RoutedModel.create(base="hashing-32") as model,
        pytest.raises(MissingExtraError, match=r"pip install 'routeret\[mteb\]'"),
    ):
        _ = model.mteb_model_meta
