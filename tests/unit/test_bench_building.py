"""The benchmark of building: what is embedded, how it is measured, and what the page says of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_packs import write_dataset

import routeret.benchmarks
from routeret.benchmarks import bench_builds, load_build_report, opening, render_builds
from routeret.benchmarks.building import measuring, running
from routeret.benchmarks.building.choosing import choose, identical_share, shares
from routeret.benchmarks.building.material import write_build_material
from routeret.benchmarks.building.measuring import block_bounds, block_size, build_figures, measure_blocks, rates
from routeret.benchmarks.building.parts import EMBEDDING, FULLTEXT, PARTS, REST, STRUCTURE
from routeret.benchmarks.building.plots import PICTURES, draw_builds, shown_builds
from routeret.benchmarks.building.quality import cosine_figures, dataset_quality, judged_queries, ndcg_figures
from routeret.benchmarks.building.sides.ours import TorchSide
from routeret.benchmarks.building.sides.registry import AUTO, PLAIN, SIDES
from routeret.benchmarks.building.sides.texts import FastembedSide, PlainSide
from routeret.benchmarks.building.worker import build, encode
from routeret.benchmarks.machine import device_title, machine_facts
from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.models.work import Work
from routeret.benchmarks.opening import chosen_sides, opened_sides, require_modules
from routeret.benchmarks.sides import Entry
from routeret.benchmarks.turns import blocks_of, turns
from routeret.cli import main
from routeret.datasets import load_dataset
from routeret.drawing import fingerprint
from routeret.encoders import TorchEncoder
from routeret.errors import ArtifactError, InputError, MissingExtraError, RouteretError
from routeret.retriever import Retriever
from routeret.types import Document

NAMES = ("fruit", "ships")
DOCUMENTS = (
    Document("a", "a bank card"),
    Document("b", "a river of water", title="water"),
    Document("c", "a bank card"),
    Document("d", "tax return " * 20),
)


def a_dataset(folder):
    """The set of that name whose queries 1 to 4 are dev queries."""
    write_dataset(folder)
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    return folder


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return [a_dataset(folder / name) for name in NAMES]


@pytest.fixture
def material(e5_model, tmp_path):
    encoder = TorchEncoder(e5_model, device="cpu")
    texts = [encoder.space.joined(title=one.title, text=one.text) for one in DOCUMENTS]
    return write_build_material(tmp_path, ModelFacts.of(encoder), DOCUMENTS, texts)


# --- which documents -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "total", "expected"),
    [
        ([10, 10], 7, [3, 4]),
        ([100, 3, 100], 30, [13, 3, 14]),
        ([2, 1], 50, [2, 1]),
        ([5], 2, [2]),
        ([4, 9, 0], 0, [0, 0, 0]),
    ],
)
def test_shares_are_as_even_as_sizes_allow(sizes, total, expected):
    assert shares(sizes, total) == expected


def test_documents_are_drawn_evenly(datasets):
    loaded = [load_dataset(one) for one in datasets]
    chosen = choose(loaded, 6, seed=3)
    names = [document.id.partition("/")[0] for document in chosen.documents]
    assert (names.count("fruit"), names.count("ships")) == (3, 3)
    assert len({document.id for document in chosen.documents}) == 6
    assert choose(loaded, 6, seed=3) == chosen
    one, other = ([document.id for document in choose(loaded, 50, seed=seed).documents] for seed in (3, 4))
    assert one != other
    assert sorted(one) == sorted(other) == [f"{name}/{name[0]}{number}" for name in NAMES for number in range(5)]
    assert chosen.as_dict() == {
        "documents": 6,
        "identical_share": 0.0,
        "documents_of_corpora": 10,
        "identical_share_of_corpora": 0.0,
    }


def test_half_of_the_documents_answer_dev_queries_as_far_as_there_are(tmp_path):
    folder = write_dataset(tmp_path / "fruit", test=(3,))
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    drawn = [{one.id for one in choose([load_dataset(folder)], 2, seed=seed).documents} for seed in range(12)]
    assert all("fruit/f3" in ids for ids in drawn)
    assert len(set.union(*drawn)) > 3


def test_identical_documents_have_the_same_title_and_text():
    assert identical_share(DOCUMENTS) == 0.25
    assert identical_share([Document("a", "x"), Document("b", "x", title="t")]) == 0.0


# --- figures ---------------------------------------------------------------------------------------------------------


def test_rates_are_medians_of_blocks():
    bounds = block_bounds(5, 2)
    assert bounds == [(0, 2), (2, 4), (4, 5)]
    found = rates([100.0, 50.0, 100.0], [200.0, 200.0, 300.0], bounds=bounds)
    # Documents a second: 20, 40, 10. Times plain: 2, 4, 3.
    assert found == {
        "documents_per_s": 20.0,
        "blocks": 3,
        "times_plain": 3.0,
        "times_plain_least": 2.0,
        "times_plain_most": 4.0,
    }


def test_blocks_fill_a_device():
    assert (block_size("cpu"), block_size("cuda"), block_size("cuda:1")) == (128, 2048, 2048)


def test_work_counts_products_with_weights_and_between_tokens():
    work = Work(weights=100, layers=2, width=5)
    # 2 x 100 x 7 with weights; a text of 3 tokens and one of 4: 2 layers x 2 products x 2 x 5 x (9 + 16).
    assert work.operations(np.array([3, 4])) == 1400 + 1000
    blocks = [np.array([3, 4]), np.array([10]), np.array([1])]
    # Tokens a second: 70, 1000, 10. Operations a second: 24,000, 600,000 and 2,400.
    assert work.rates([100.0, 10.0, 100.0], blocks) == pytest.approx({"tokens_per_s": 70.0, "tflops": 2.4e-8})
    known = Work(weights=100, layers=2, width=5, peak_tflops=4.8e-8)
    assert known.rates([100.0], blocks[:1])["peak_share"] == pytest.approx(0.5)
    assert known.as_dict(np.array([10])) == {
        "weights": 100,
        "layers": 2,
        "width": 5,
        "peak_tflops": 4.8e-8,
        "operations_per_token": 600.0,
    }


def test_work_is_that_of_the_model(e5_model):
    # 2 blocks, each of 4 matrices of 32 x 32 and 2 of 32 x 64; the pooler is not run.
    assert Work.of(TorchEncoder(e5_model, device="cpu"), peak_tflops=7.0) == Work(16384, 2, 32, 7.0)


def a_build(embedding, *, rest, peak):
    return {
        "ms": {EMBEDDING: embedding, FULLTEXT: 0.0, STRUCTURE: 0.0, REST: rest},
        "embedded": 9,
        "bytes": 2**20,
        "memory_before_bytes": None,
        "memory_peak_bytes": peak,
    }


def test_builds_are_compared_round_by_round():
    ours = [a_build(80.0, rest=20.0, peak=7), a_build(100.0, rest=100.0, peak=9), a_build(45.0, rest=5.0, peak=8)]
    plain = [a_build(400.0, rest=0.0, peak=1), a_build(200.0, rest=0.0, peak=1), a_build(100.0, rest=0.0, peak=1)]
    found = build_figures(ours, plain, n_documents=10)
    # 100, 200 and 50 ms beside 400, 200 and 100.
    assert (found["seconds"], found["documents_per_s"], found["rounds"]) == (0.1, 100.0, 3)
    assert (found["times_plain"], found["times_plain_least"], found["times_plain_most"]) == (2.0, 1.0, 4.0)
    assert found["share_by_part"] == {EMBEDDING: 0.8, FULLTEXT: 0.0, STRUCTURE: 0.0, REST: 0.2}
    assert (found["memory_peak_bytes"], found["memory_before_bytes"], found["embedded"]) == (8, None, 9)


def test_a_set_is_searched_alone_with_the_queries_that_its_documents_answer(datasets):
    fruit = load_dataset(datasets[0])
    ids = ["ships/s1", "fruit/f2", "fruit/f3"]
    texts, qrels = judged_queries(fruit, ids)
    assert texts == {"q2": "sour fruit", "q3": "sweet and juicy fruit"}
    assert qrels == {"q2": {"fruit/f2": 1}, "q3": {"fruit/f3": 1}}
    queries = np.eye(2, dtype=np.float32)
    right = np.array([[1, 1], [1, 0], [0, 1]], dtype=np.float32)
    found = dataset_quality("fruit", qrels, queries, ids, {"right": right, "wrong": right[[0, 2, 1]]})
    # What is second is worth 1 / log2(3).
    assert found["ndcg"] == pytest.approx({"right": 1.0, "wrong": 1 / np.log2(3)})
    assert (found["documents"], found["queries"]) == (2, 2)


def test_a_set_without_dev_queries_has_none(tmp_path):
    assert judged_queries(load_dataset(write_dataset(tmp_path / "fruit")), ["fruit/f1"]) == ({}, {})
    assert ndcg_figures([], "auto", PLAIN) == {}


def test_quality_is_the_mean_of_sets():
    quality = [{"ndcg": {"auto": 0.5, PLAIN: 0.4}}, {"ndcg": {"auto": 0.6, PLAIN: 0.9}}]
    assert ndcg_figures(quality, "auto", PLAIN) == pytest.approx(
        {"ndcg": 0.55, "ndcg_difference": -0.1, "ndcg_difference_least": -0.3}
    )
    plain = np.array([[1, 0], [0, 2]], dtype=np.float32)
    assert cosine_figures(plain[[0, 0]], plain) == {"cosine_mean": 0.5, "cosine_least": 0.0}


# --- turns and processes ---------------------------------------------------------------------------------------------


class Writing:
    """A process that writes the numbers of the documents as vectors, and needs a millisecond for each."""

    def __init__(self, log, name, folder):
        self._log, self._name, self._folder = log, name, folder

    def ask(self, task, *, start, end, file):
        self._log.append((self._name, start, end, task))
        np.save(self._folder / file, np.arange(start, end, dtype=np.float32)[:, None])
        return {"ms": float(end - start)}


def test_every_side_embeds_every_block_in_turn(tmp_path):
    log = []
    sides = {name: Writing(log, name, tmp_path) for name in "ab"}
    found = measure_blocks(sides, tmp_path, block_bounds(5, 2), seed=0, show_progress=False)
    assert found["a"].ms == found["b"].ms == [2.0, 2.0, 1.0]
    np.testing.assert_array_equal(found["b"].joined()[:, 0], [0, 1, 2, 3, 4])
    assert [one[1] for one in log] == [0, 0, 2, 2, 4, 4]
    assert {one[3] for one in log} == {"encode"}
    assert [{log[turn][0], log[turn + 1][0]} for turn in (0, 2, 4)] == [{"a", "b"}] * 3


def test_turns_come_in_a_new_order_for_every_block():
    drawn = list(turns("abc", blocks_of(range(40), 2), seed=1, description="", show_progress=False))
    assert [block for block, _ in drawn[::3]] == blocks_of(range(40), 2)
    orders = {tuple(name for _, name in drawn[turn : turn + 3]) for turn in range(0, 60, 3)}
    assert len(orders) > 3
    assert {tuple(sorted(order)) for order in orders} == {("a", "b", "c")}


class Told:
    """A process whose first answer is told by its name."""

    closed: list[str]

    def __init__(self, name, folder, *, worker, python):
        self.name, self.told = name, {"python": str(python), "folder": folder.name, "worker": worker}

    def opened(self):
        if self.name.startswith("failing"):
            raise RouteretError("no")
        return {"missing": "thing"} if self.name.startswith("lacking") else self.told

    def last_line(self):
        return "TypeError: no such argument"

    def close(self):
        Told.closed.append(self.name)


ENTRIES = {
    "plain": Entry("", None, ()),
    "lacking": Entry("", None, ()),
    "lacking-peer": Entry("", None, (), is_peer=True),
    "failing-peer": Entry("", None, (), is_peer=True),
    "failing-optional": Entry("", None, (), is_optional=True),
    "failing": Entry("", None, ()),
    "everywhere": Entry("", None, (), elsewhere=()),
}


def test_sides_are_left_out_with_the_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "SideProcess", Told)
    Told.closed = []
    names = chosen_sides(["failing-optional", "failing-peer", "lacking", "lacking-peer"], ENTRIES, plain="plain")
    assert names == ["plain", "lacking", "lacking-peer", "failing-peer", "failing-optional"]
    settings = {"worker": "w", "folder": tmp_path, "peers": Path("peers/python"), "device": "cpu"}
    settings["show_progress"] = False
    with opened_sides(ENTRIES, names, **settings) as sides:
        assert list(sides.processes) == ["plain"]
        assert sides.told == {"plain": {"python": "None", "folder": tmp_path.name, "worker": "w"}}
        assert sides.missing == {
            "lacking": "module 'thing' is not installed; install it",
            "lacking-peer": "module 'thing' is not installed; install it in an environment of its own, with faiss-cpu, "
            "numkong and sentence-transformers, and give --peers",
            "failing-peer": "it could not be opened: TypeError: no such argument",
            "failing-optional": "it could not be opened: TypeError: no such argument",
        }
    assert sorted(Told.closed) == sorted(names)
    Told.closed = []
    with pytest.raises(RouteretError, match="no"), opened_sides(ENTRIES, ["plain", "failing"], **settings):
        pass
    assert "plain" in Told.closed


def test_sides_of_the_processor_are_left_out_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(opening, "SideProcess", Told)
    Told.closed = []
    settings = {"worker": "w", "folder": tmp_path, "peers": None, "device": "cuda", "show_progress": False}
    with opened_sides(ENTRIES, ["plain", "failing", "everywhere"], **settings) as sides:
        assert list(sides.processes) == ["everywhere"]
        assert sides.missing == dict.fromkeys(["plain", "failing"], "it runs on the processor alone")
    assert Told.closed == ["everywhere"]
    there = [name for name, entry in SIDES.items() if entry.runs_on("cuda")]
    assert there == [PLAIN, "plain-bfloat16", "float32", AUTO]


def test_what_all_is_compared_with_must_be_installed():
    entries = {"plain": Entry("", None, ("json",), elsewhere=("no_such_module",))}
    require_modules(entries, ["plain"], device="cpu")
    with pytest.raises(MissingExtraError, match=r"'no_such_module' is not installed.*routeret\[gpu\]"):
        require_modules(entries, ["plain"], device="cuda")


def test_a_device_has_a_title(monkeypatch):
    assert machine_facts()["device"] is device_title("cpu") is None
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"A GPU, {device}")
    assert machine_facts(device="cuda:1")["device"] == "A GPU, cuda:1"
    assert device_title("mps") == "mps"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"corpora": []}, "no corpus was given"),
        ({"n_documents": 1}, "1 documents of 2 corpora were asked for"),
        ({"sides": ["mine"]}, "side 'mine' is unknown; give some of: sentence-transformers, plain-bfloat16, "),
        ({"peers": Path("no/python")}, "there is no interpreter 'no/python'"),
        ({"seed": -1}, "the seed is -1"),
        ({"device": "gpu"}, "found device 'gpu', expected cpu, cuda"),
        ({"device": "cuda:99"}, "found device 'cuda:99', but this machine has"),
        ({"peak_tflops": 0.0}, r"the peak is 0\.0 TFLOP/s, expected a number above 0"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(datasets, e5_model, changed, message):
    with pytest.raises(InputError, match=message):
        bench_builds(**{"corpora": datasets, "base": e5_model, **changed})


# --- sides -----------------------------------------------------------------------------------------------------------


def test_sides_write_the_same_vectors_of_the_same_texts(material):
    plain, ours = PlainSide(material), TorchSide(material, precision="float32")
    plain.open()
    ours.open()
    np.testing.assert_allclose(plain.encode(0, 4), ours.encode(0, 4), atol=1e-5)
    np.testing.assert_array_equal(plain.encode(1, 3).shape, (2, 32))
    assert ours.describe()["precision"] == "float32"
    counts, is_cut = plain.token_counts()
    # [CLS] passage : a bank card [SEP], and the same with more; the limit is 16.
    assert (counts[0], counts[2], counts[3]) == (7, 7, 16)
    assert (is_cut[0], is_cut[3]) == (False, True)
    assert encode(ours, start=1, end=3, file="block.npy")["ms"] > 0
    np.testing.assert_allclose(np.load(material.folder / "block.npy"), plain.encode(1, 3), atol=1e-5)
    with pytest.raises(InputError, match="builds no index in 'x'"):
        FastembedSide(material).build(Path("x"))


def test_a_build_tells_where_its_time_goes(material):
    plain, ours = PlainSide(material), TorchSide(material, precision="float32")
    for side, embedded in ((plain, 4), (ours, 3)):
        side.open()
        found = build(side, name=f"built-{embedded}", n_before=2)
        assert found["embedded"] == embedded
        assert found["bytes"] > 0
        assert tuple(found["ms"]) == PARTS
        assert found["ms"][EMBEDDING] > 0
        assert found["ms"][REST] > 0
        assert found["ms"][STRUCTURE] == 0
        assert (found["ms"][FULLTEXT] > 0) == (side is ours)
    with Retriever.open(material.folder / "built-3", base=TorchEncoder(material.facts.model)) as retriever:
        score = {hit.id: hit.score for hit in retriever.search("bank card", 4, expert="base")}
    assert set(score) == set("abcd")
    assert score["a"] == score["c"]


@pytest.mark.slow
def test_the_whole_benchmark(e5_model, datasets, tmp_path, monkeypatch):
    # One build is enough to see that it is made in a process of its own.
    monkeypatch.setattr(measuring, "ROUNDS", 1)
    monkeypatch.setattr(running, "TITLE_BY_BUILD", {PLAIN: ""})
    output = tmp_path / "bench.json"
    sides = [AUTO, "fastembed"]
    report = bench_builds(datasets, base=e5_model, sides=sides, n_documents=8, output=output)
    assert load_build_report(output) == json.loads(json.dumps(report))
    assert str(tmp_path) not in output.read_text()
    assert (report["corpus"]["documents"], report["corpus"]["documents_of_corpora"]) == (8, 10)
    assert set(report["sides"]) | set(report["missing"]) == {PLAIN, *sides}
    assert {PLAIN, AUTO} <= set(report["sides"])
    assert report["sides"][PLAIN]["times_plain"] == pytest.approx(1)
    assert report["sides"][AUTO]["cosine_least"] > 0.99
    assert report["sides"][AUTO]["precision"] in ("float32", "bfloat16")
    assert {one["dataset"] for one in report["quality"]} == {"fruit", "ships"}
    assert set(report["builds"]) == {PLAIN}
    assert sum(report["builds"][PLAIN]["share_by_part"].values()) == pytest.approx(1)
    assert report["machine"]["device"] is None
    assert report["work"]["weights"] == 16384
    assert "peak_share" not in report["sides"][AUTO]
    assert render_builds(report) == render_builds(load_build_report(output))


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_whole_benchmark_on_a_gpu(e5_model, datasets):
    report = bench_builds(datasets, base=e5_model, n_documents=8, device="cuda", peak_tflops=0.5)
    assert list(report["sides"]) == [PLAIN, "plain-bfloat16", "float32", AUTO]
    assert report["missing"]["openvino"] == "it runs on the processor alone"
    assert report["sides"][AUTO]["precision"] == "bfloat16"
    assert report["sides"][AUTO]["cosine_least"] > 0.99
    for side in report["sides"].values():
        assert side["peak_share"] == pytest.approx(side["tflops"] / 0.5)
    assert set(report["builds"]) == {PLAIN, AUTO}
    assert report["settings"]["block"] == 2048
    assert render_builds(report).startswith(f"{torch.cuda.get_device_name()}; ")


# --- the page --------------------------------------------------------------------------------------------------------


def a_side(rate, *, times, cosine=1.0, ndcg=0.5):
    return {
        "versions": {"numpy": "2.4"},
        "documents_per_s": rate,
        "tokens_per_s": 100 * rate,
        "blocks": 4,
        "times_plain": times,
        "times_plain_least": times / 2,
        "times_plain_most": 2 * times,
        "cosine_mean": cosine,
        "cosine_least": cosine - 0.0005,
        "ndcg": ndcg,
        "ndcg_difference": ndcg - 0.5,
        "ndcg_difference_least": ndcg - 0.501,
    }


def a_whole_build(seconds, *, times, embedding):
    return {
        "seconds": seconds,
        "documents_per_s": 1000 / seconds,
        "share_by_part": {EMBEDDING: embedding, FULLTEXT: 0.0, STRUCTURE: 0.0, REST: 1 - embedding},
        "embedded": 900,
        "bytes": 2**19,
        "memory_before_bytes": 100 * 2**20,
        "memory_peak_bytes": 150 * 2**20,
        "rounds": 3,
        "times_plain": times,
        "times_plain_least": times,
        "times_plain_most": times,
    }


def a_report():
    return {
        "kind": "routeret build benchmark",
        "format": 1,
        "machine": {
            "processor": "P",
            "cores": 2,
            "memory_gib": 8.0,
            "system": "Linux x86_64",
            "python": "3.11",
            "versions": {"numpy": "2.4", "openvino": None},
        },
        "settings": {"seed": 0, "block": 128, "rounds": 3, "thread_limits": {"OMP_NUM_THREADS": "2"}},
        "corpus": {
            "datasets": ["fruit", "ships"],
            "dim": 384,
            "documents": 1000,
            "identical_share": 0.1,
            "documents_of_corpora": 5000,
            "identical_share_of_corpora": 0.025,
        },
        "tokens": {"median": 60.5, "most": 256, "total": 60000, "cut_share": 0.2},
        "missing": {"fastembed": "module 'fastembed' is not installed; install it"},
        "sides": {
            AUTO: {**a_side(40.0, times=4.0, cosine=0.99995, ndcg=0.499), "precision": "bfloat16"},
            PLAIN: a_side(10.0, times=1.0),
        },
        "quality": [
            {"dataset": "fruit", "documents": 500, "queries": 1200, "ndcg": {PLAIN: 0.5, AUTO: 0.499}},
        ],
        "builds": {
            AUTO: a_whole_build(25.0, times=4.0, embedding=0.75),
            PLAIN: a_whole_build(100.0, times=1.0, embedding=1.0),
        },
    }


PAGE = """\
2 cores of P, 8.0 GiB, Linux x86_64, Python 3.11; numpy 2.4; seed 0.

1,000 of the 5,000 documents of fruit, ships, with 60.5 tokens at the median and 256 at the most; 20.0 % are cut at \
the model's limit. 10.0 % of them are the same text as another one, of all documents of the corpora 2.5 %. Blocks of \
128 documents; OMP_NUM_THREADS=2.

| texts into vectors | documents/s | tokens/s | times plain | least, most | cosine, mean | least |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| SentenceTransformer.encode | 10 | 1,000 | 1 | 0.5, 2 | 1.00000 | 0.99950 |
| routeret, PyTorch (bfloat16) | 40 | 4,000 | 4 | 2, 8 | 0.99995 | 0.99945 |

Not measured:

- fastembed: module 'fastembed' is not installed; install it

| the whole build | s | documents/s | times plain | least, most | texts embedded | peak memory, MiB | of it before | \
on disk, MiB |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| SentenceTransformer, faiss | 100 | 10 | 1 | 1, 1 | 900 | 150 | 100 | 0.5 |
| routeret build, PyTorch | 25 | 40 | 4 | 4, 4 | 900 | 150 | 100 | 0.5 |

| share of the time | embedding | full text | search structure | reading and writing |
| --- | ---: | ---: | ---: | ---: |
| SentenceTransformer, faiss | 100.0 % | 0.0 % | 0.0 % | 0.0 % |
| routeret build, PyTorch | 75.0 % | 0.0 % | 0.0 % | 25.0 % |

| dev queries, nDCG@10 | mean of sets | difference | least of a set |
| --- | ---: | ---: | ---: |
| SentenceTransformer.encode | 0.5000 | +0.0000 | -0.0010 |
| routeret, PyTorch (bfloat16) | 0.4990 | -0.0010 | -0.0020 |

Queries by set: fruit 1,200."""


def test_the_page_shows_the_figures():
    assert render_builds(a_report()) == PAGE
    assert render_builds(json.loads(json.dumps(a_report(), sort_keys=True))) == PAGE


def test_the_page_leaves_out_what_was_not_measured():
    report = {**a_report(), "missing": {}, "quality": []}
    del report["builds"]
    assert render_builds(report) == PAGE.partition("\n\nNot measured:")[0]


def test_the_page_names_the_device_and_its_share():
    report = a_report()
    report["machine"]["device"] = "A GPU"
    report["work"] = {"peak_tflops": 200.0, "operations_per_token": 2.5e7}
    report["sides"][AUTO] |= {"tflops": 50.0, "peak_share": 0.25}
    report["sides"][PLAIN] |= {"tflops": 2.0, "peak_share": 0.01}
    page = render_builds(report)
    assert page.startswith("A GPU; 2 cores of P, ")
    table = """\
| texts into vectors | tokens/s | TFLOP/s | of the peak |
| --- | ---: | ---: | ---: |
| SentenceTransformer.encode | 1,000 | 2 | 1.0 % |
| routeret, PyTorch (bfloat16) | 4,000 | 50 | 25.0 % |

One pass is 25 million operations a token on the mean; the device does 200 TFLOP/s at most.

Not measured:"""
    assert table in page
    report["work"]["peak_tflops"] = None
    page = render_builds(report)
    assert "| SentenceTransformer.encode | 1,000 | 2 |\n" in page
    assert "One pass is 25 million operations a token on the mean.\n" in page


def test_another_file_is_no_report(tmp_path):
    (tmp_path / "other.json").write_text('{"kind": "routeret query benchmark", "format": 1}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="not a routeret build benchmark of format 1; write it with routeret bench"):
        load_build_report(tmp_path / "other.json")


def test_pictures_are_the_same_for_the_same_report(tmp_path):
    pytest.importorskip("matplotlib")
    first, again = (draw_builds(a_report(), tmp_path / name) for name in ("one", "two"))
    assert [file.name for file in first] == [f"{name}.svg" for name in PICTURES]
    for name, one, other in zip(PICTURES, first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert fingerprint(shown_builds(a_report())[name]) in one.read_text(encoding="utf-8")
    shown = shown_builds(a_report())
    assert shown["documents-into-vectors"]["routeret, PyTorch (bfloat16)"] == [4.0, 2.0, 8.0]
    # 25 ms a document, of which three quarters are embedding.
    assert shown["parts-of-a-build"]["routeret build, PyTorch"][EMBEDDING] == 18.75


def test_the_command_prints_the_page_or_the_report(datasets, monkeypatch):
    asked = {}

    def measured(corpora, **options):
        asked.update(options, corpora=[folder.name for folder in corpora])
        return a_report()

    monkeypatch.setattr(routeret.benchmarks, "bench_builds", measured)
    words = ["bench", "build", "--corpus", *map(str, datasets), "--sides", "auto, float32", "--documents", "7"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == PAGE + "\n"
    assert asked["corpora"] == ["fruit", "ships"]
    assert (asked["sides"], asked["n_documents"], asked["seed"]) == (["auto", "float32"], 7, 0)
    assert asked["base"] == "all-MiniLM-L6-v2"
    told = CliRunner().invoke(main, [*words, "--json"])
    assert json.loads(told.stdout) == a_report()
    CliRunner().invoke(main, words[:5])
    assert (asked["n_documents"], asked["sides"]) == (512, tuple(SIDES))
    assert (asked["device"], asked["peak_tflops"]) == ("cpu", None)
    CliRunner().invoke(main, [*words, "--device", "cuda", "--peak-tflops", "989.4"])
    assert (asked["device"], asked["peak_tflops"]) == ("cuda", 989.4)
