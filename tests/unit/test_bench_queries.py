"""The benchmark of queries: what is measured on, how it is measured, and what the page says of it."""

import json
import threading
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from tiny_packs import QUERIES, documents_of, write_dataset

import routeret.benchmarks
from routeret.artifact import write_manifest
from routeret.benchmarks import bench_queries, load_query_report, opening, render_queries
from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.queries.material import Material, write_material
from routeret.benchmarks.queries.measuring import (
    Singles,
    batch_figures,
    measure_batches,
    measure_singles,
    single_figures,
)
from routeret.benchmarks.queries.parts import EXPERTS, PARTS, times_by_part
from routeret.benchmarks.queries.plots import PICTURES, draw_queries, shown
from routeret.benchmarks.queries.pools import AdapterMaker, copy_index, write_lora_twin, write_many
from routeret.benchmarks.queries.precision import precision_figures
from routeret.benchmarks.queries.preparing import base_of, divide
from routeret.benchmarks.queries.sides.registry import PLAIN, SIDES
from routeret.benchmarks.queries.together import ask_together
from routeret.benchmarks.sides import Entry
from routeret.benchmarks.truth import exact_run
from routeret.benchmarks.watching import Watch
from routeret.building import build_index
from routeret.cli import main
from routeret.datasets import load_dataset
from routeret.drawing import fingerprint
from routeret.encoders import HashingEncoder, OnnxEncoder, TorchEncoder
from routeret.encoders.probes import cosines_of
from routeret.errors import ArtifactError, InputError, RouteretError
from routeret.experts import LinearExpert, LoraExpert, load_expert
from routeret.packs import FORMAT, KIND, read_pack
from routeret.retriever import Retriever
from routeret.routing import STRENGTHS, PilotCorpus, PilotLibrary, UtilityRouter

NAMES = ("fruit", "ships")


@pytest.fixture(scope="module")
def pack(e5_model, tmp_path_factory):
    """A pack of two linear experts over the tiny model: each gains on its own queries."""
    encoder = TorchEncoder(e5_model)
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    corpora = []
    for seed, name in enumerate(NAMES):
        LinearExpert(
            name=name,
            weight=np.random.default_rng(seed).normal(scale=0.05, size=(encoder.dim, encoder.dim)).astype(np.float32),
            strength=0.5,
            space=encoder.space,
            query_tower=encoder.query_tower,
            known_documents=np.array([one.content_key for one in documents_of(name)], dtype=np.uint64),
        ).save(folder / "experts" / name)
        gains = {one: np.full((5, len(STRENGTHS)), 0.3 if one == name else -0.3, np.float32) for one in NAMES}
        vectors = encoder.encode_queries(QUERIES[name])
        corpora.append(PilotCorpus(name, tuple(QUERIES[name]), vectors, gains, home_experts=(name,)))
    UtilityRouter.fit(PilotLibrary(encoder.query_tower, tuple(corpora)), NAMES).save(folder / "router")
    fields = {
        "name": "tiny",
        "base": str(e5_model),
        "space": encoder.space.as_dict(),
        "query_tower": encoder.query_tower,
        "lexical_weight": 0.3,
    }
    write_manifest(folder, kind=KIND, format_number=FORMAT, fields=fields)
    return folder


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    return [write_dataset(folder / name) for name in NAMES]


@pytest.fixture(scope="module")
def built(pack, datasets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("indexes") / "kb"
    build_index(folder, datasets, pack=pack, prefix_ids=True)
    return folder


@pytest.fixture(scope="module")
def maker(e5_model):
    return AdapterMaker.of(TorchEncoder(e5_model))


# --- the queries of every measurement --------------------------------------------------------------------------------


def a_dataset(tmp_path, texts):
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d", "text": "a text"}\n', encoding="utf-8")
    lines = "".join(json.dumps({"_id": f"q{number}", "text": text}) + "\n" for number, text in enumerate(texts))
    (folder / "queries.jsonl").write_text(lines, encoding="utf-8")
    (folder / "qrels" / "test.tsv").write_text("q0\td\t1\n", encoding="utf-8")
    return load_dataset(folder)


def test_no_query_serves_two_measurements(tmp_path):
    dataset = a_dataset(tmp_path, [f"query {number}" for number in range(1000)])
    found = divide([dataset], n_queries=30, n_requests=50, seed=1)
    assert {name: len(texts) for name, texts in found.items()} == {
        "singles": 30,
        "first": 20,
        "parts": 30,
        "batches": 512,
        "requests": 50,
    }
    used = [text for texts in found.values() for text in texts]
    assert len(set(used)) == len(used)
    assert divide([dataset], n_queries=30, n_requests=50, seed=1) == found
    assert divide([dataset], n_queries=30, n_requests=50, seed=2)["singles"] != found["singles"]


def test_few_queries_come_again_but_never_among_those_timed_one_by_one(tmp_path):
    found = divide([a_dataset(tmp_path, ["a", "b", "c", "a"])], n_queries=2, n_requests=3, seed=0)
    assert sorted(found["singles"] + found["requests"][:1]) == ["a", "b", "c"]
    assert set(found["first"]) == set(found["batches"]) == set(found["requests"])
    assert len(set(found["requests"])) == 1


def test_too_few_queries_are_refused(tmp_path):
    with pytest.raises(InputError, match="hold 2 different queries, expected more than 2"):
        divide([a_dataset(tmp_path, ["a", "b", "b"])], n_queries=2, n_requests=1, seed=0)


# --- clocks and sums -------------------------------------------------------------------------------------------------


def test_a_part_does_not_count_what_is_inside_it():
    now = iter([0.0, 1.0, 3.0, 3.5, 7.5, 8.0, 9.0, 10.0])
    watch = Watch(PARTS, whole={EXPERTS}, clock=lambda: next(now))
    with watch.part("rest"):  # from 0
        with watch.part("search"):  # from 1
            with watch.part("experts"), watch.part("base pass"):  # from 3, from 3.5
                pass  # to 7.5, to 8
        # the search to 9, the rest to 10
    assert {name: ms for name, ms in watch.ms_by_part.items() if ms} == {
        "rest": 2000.0,
        "search": 3000.0,
        "experts": 5000.0,
    }


def test_many_threads_ask_at_once_and_errors_are_counted():
    together = threading.Barrier(4, timeout=30)

    def ask(text):
        together.wait()
        if text == "bad":
            raise ValueError("no")

    found = ask_together(ask, ["a", "bad", "b", "c"], threads=4)
    assert found["errors"] == ["ValueError('no')"]
    assert len(found["ms"]) == 3
    assert found["s"] >= max(found["ms"]) / 1000 / 2


def test_a_side_is_compared_with_plain_on_the_same_queries():
    sides = {
        PLAIN: Singles([10.0, 20.0, 40.0], [["a", "b"], ["a", "b"], ["c"]]),
        "routed": Singles([5.0, 40.0, 10.0], [["b", "a"], ["a", "x"], ["y"]]),
    }
    figures = single_figures(sides, plain=PLAIN, passes={"routed": [1, 0, 2]})
    assert figures[PLAIN]["of_plain"] == figures[PLAIN]["found"] == 1.0
    routed = figures["routed"]
    assert routed["p50_ms"] == 10.0
    assert routed["of_plain"] == 0.5
    assert routed["found"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert routed["experts_mean"] == 1.0
    # With experts 5 and 10 beside 10 and 40, without 40 beside 20.
    assert routed["with_experts"]["of_plain"] == pytest.approx(7.5 / 25)
    assert (routed["without_experts"]["n"], routed["without_experts"]["of_plain"]) == (1, 2.0)


class Answering:
    """A process that takes note of what it is asked, and needs twice as long for every text of a batch."""

    def __init__(self, log, name):
        self._log, self._name = log, name

    def ask(self, task, *, texts, first):
        self._log.append((self._name, task, tuple(texts), first))
        return {"ms": [1.0] * len(texts), "ids": [[text] for text in texts]} if task == "singles" else {"ms": 128.0}


def test_sides_take_turns():
    log = []
    sides = {name: Answering(log, name) for name in "ab"}
    texts = [f"q{number}" for number in range(25)]
    found = measure_singles(sides, texts, first="f", seed=0, show_progress=False)
    assert [[ids] for ids in texts] == found["a"].ids == found["b"].ids
    assert len(found["a"].ms) == 25
    parts = [asked[2] for asked in log]
    assert parts[::2] == parts[1::2] == [tuple(texts[:10]), tuple(texts[10:20]), tuple(texts[20:])]
    assert [{log[turn][0], log[turn + 1][0]} for turn in (0, 2, 4)] == [{"a", "b"}] * 3
    batches = measure_batches(sides, [["a", "b"], ["c"]], first="f", seed=0, show_progress=False)
    assert batches == {"a": [128.0, 128.0], "b": [128.0, 128.0]}


def test_batches_are_compared_with_those_of_plain():
    # Milliseconds a query: 2, 4, 8 beside 20, 8, 8.
    found = batch_figures([4.0, 8.0, 8.0], [40.0, 16.0, 8.0], sizes=[2, 2, 1])
    assert found == {"queries_per_s": 250.0, "times_plain": 2.0, "n": 3}


# --- pools -----------------------------------------------------------------------------------------------------------


def test_the_twin_with_adapters_decides_as_the_pack(pack, maker, built, tmp_path):
    write_lora_twin(tmp_path / "twin", read_pack(pack), maker)
    twin = read_pack(tmp_path / "twin")
    for name, folder in twin.expert_folders.items():
        expert, source = load_expert(folder), load_expert(pack / "experts" / name)
        assert isinstance(expert, LoraExpert)
        assert (expert.adapter.rank, len(expert.adapter.targets)) == (8, 12)
        np.testing.assert_array_equal(expert.known_documents, source.known_documents)
    copy_index(built, tmp_path / "kb", twin)
    with Retriever.open(built) as linear, Retriever.open(tmp_path / "kb") as lora:
        assert lora.expert_names == linear.expert_names == NAMES
        assert len(lora) == len(linear) == 10
        decided, expected = lora.route(QUERIES["fruit"][0]), linear.route(QUERIES["fruit"][0])
        assert decided.predicted_gains == expected.predicted_gains
        assert decided.predicted_gains["fruit"] > 0


def test_many_experts_are_copies_with_the_gains_of_their_sources(pack, maker, tmp_path):
    write_many(tmp_path / "many", read_pack(pack), maker)
    many = read_pack(tmp_path / "many")
    kinds = [load_expert(folder).kind for folder in many.expert_folders.values()]
    assert (kinds.count("linear"), kinds.count("lora")) == (10, 10)
    library = UtilityRouter.load(many.router_folder).library
    fruit = next(corpus for corpus in library.corpora if corpus.name == "fruit")
    # Numbers 0, 2, 4... are copies of the first expert, fruit.
    gains = [fruit.gains[name][0, 0] for name in ("linear-2", "lora-8", "linear-1")]
    assert gains == pytest.approx([0.3, 0.3, -0.3], abs=1e-3)
    assert {"linear-0", "lora-0", "linear-4", "lora-6"} <= set(fruit.home_experts)
    assert not {"linear-1", "lora-9"} & set(fruit.home_experts)


def test_an_index_is_copied_without_its_experts(built, tmp_path):
    copy_index(built, tmp_path / "kb", None)
    with Retriever.open(tmp_path / "kb") as alone, Retriever.open(built) as source:
        assert alone.expert_names == ()
        assert source.expert_names == NAMES
        query = "a red apple"
        assert [one.id for one in alone.search(query, expert="base")] == [
            one.id for one in source.search(query, expert="base")
        ]
    assert not (tmp_path / "kb" / "experts" / "fruit").exists()


def test_a_base_without_a_graph_is_refused(pack):
    with pytest.raises(InputError, match="switched off by ROUTERET_GRAPHS"):
        base_of(read_pack(pack), device="cpu")


# --- precision -------------------------------------------------------------------------------------------------------


def test_the_best_documents_are_found_exactly():
    documents = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    queries = np.array([[1, 0], [0, 2]], dtype=np.float32)
    run = exact_run(["q", "r"], queries, ["a", "b", "c"], documents, k=10)
    assert list(exact_run(["q"], queries[:1], ["a", "b", "c"], documents, k=2)["q"]) == ["a", "c"]
    assert list(run["q"]) == ["a", "c", "b"]
    assert run["r"] == pytest.approx({"b": 2.0, "c": 1.6, "a": 0.0})
    np.testing.assert_allclose(cosines_of(queries, documents[[1, 1]]), [0, 1])


class Turned(HashingEncoder):
    """Every query is its opposite."""

    def encode_queries(self, texts):
        return -super().encode_queries(texts)


def test_precisions_are_compared_on_dev(tmp_path):
    folder = write_dataset(tmp_path / "fruit")
    (folder / "qrels" / "test.tsv").rename(folder / "qrels" / "dev.tsv")
    build_index(tmp_path / "kb", [folder], base="hashing-32", prefix_ids=True)
    encoder = HashingEncoder(32)
    found = precision_figures(tmp_path / "kb", [load_dataset(folder)], {"float32": encoder, "int8": encoder})
    assert [(one["dataset"], one["queries"]) for one in found] == [("fruit", 4)]
    assert found[0]["ndcg"]["float32"] == found[0]["ndcg"]["int8"] > 0.5
    assert found[0]["cosine_least"] == pytest.approx(1)
    (turned,) = precision_figures(tmp_path / "kb", [load_dataset(folder)], {"float32": encoder, "int8": Turned(32)})
    assert turned["cosine_mean"] == pytest.approx(-1)
    assert turned["ndcg"]["int8"] < turned["ndcg"]["float32"]


def test_a_set_without_dev_queries_is_left_out(datasets, tmp_path):
    build_index(tmp_path / "kb", datasets[:1], base="hashing-32", prefix_ids=True)
    encoder = HashingEncoder(32)
    assert precision_figures(tmp_path / "kb", [load_dataset(datasets[0])], {"float32": encoder, "int8": encoder}) == []


# --- sides and their processes ---------------------------------------------------------------------------------------


def test_a_side_tells_what_it_lacks():
    assert Entry("", lambda _: None, ("json", "numpy")).missing("cpu") is None
    assert Entry("", lambda _: None, ("json", "no_such_module")).missing("cpu") == "no_such_module"
    assert Entry("", lambda _: None, ("no_such_package.module",)).missing("cpu") == "no_such_package.module"
    elsewhere = Entry("", lambda _: None, ("no_such_module",), elsewhere=("json", "no_other_module"))
    assert (elsewhere.missing("cpu"), elsewhere.missing("cuda")) == ("no_such_module", "no_other_module")
    assert list(SIDES)[0] == PLAIN


def test_sides_of_a_gpu():
    there = [name for name, entry in SIDES.items() if entry.runs_on("cuda:1")]
    assert there == [PLAIN, "plain-bfloat16", "peft", "base", "routed", "hybrid", "lora"]
    assert all(entry.runs_on("cpu") for entry in SIDES.values())


def test_a_process_that_fails_says_why(tmp_path):
    write_material(
        tmp_path,
        ModelFacts(model=str(tmp_path / "gone"), dim=2, max_tokens=16, pooling="mean", unit_length=True),
        texts={},
        ids=["a"],
        vectors=np.ones((1, 2), np.float32),
    )
    process = SideProcess("base", tmp_path, worker="routeret.benchmarks.queries.worker")
    with pytest.raises(RouteretError, match=r"(?s)opening of side 'base' ended with code 1:.*ModelNotFoundError"):
        process.opened()
    assert "gone" in process.last_line()
    process.close()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"corpora": []}, "no corpus was given"),
        ({"sides": ["mine"]}, "side 'mine' is unknown; give some of: sentence-transformers, "),
        ({"threads": 0}, "threads is 0, expected at least 1"),
        ({"peers": Path("no/python")}, "there is no interpreter 'no/python'"),
        ({"device": "gpu"}, "found device 'gpu', expected cpu, cuda"),
        ({"device": "cuda:99"}, "found device 'cuda:99', but this machine has"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(datasets, pack, changed, message):
    with pytest.raises(InputError, match=message):
        bench_queries(**{"corpora": datasets, "pack": pack, **changed})


def test_the_parts_of_a_search_are_all_seen(built, graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    with Retriever.open(built, base=OnnxEncoder(e5_model)) as retriever:
        search = retriever.search
        found = times_by_part(search, QUERIES["fruit"])
        assert {name: len(times) for name, times in found.items()} == dict.fromkeys(PARTS, 5)
        assert [name for name, times in found.items() if not min(times) > 0] == []
        without = times_by_part(lambda text: search(text, disable=["bm25"]), QUERIES["fruit"])
        assert without["BM25"] == [0.0] * 5
        # Nothing is watched any more.
        assert not hasattr(type(retriever.searcher).route, "__wrapped__")


@pytest.mark.slow
def test_the_whole_benchmark(pack, datasets, graphs, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    output = tmp_path / "bench.json"
    report = bench_queries(
        datasets,
        pack=pack,
        sides=["float32", "routed", "lora", "fastembed"],
        n_queries=5,
        n_requests=20,
        threads=3,
        output=output,
    )
    assert load_query_report(output) == json.loads(json.dumps(report))
    assert str(tmp_path) not in output.read_text()
    assert report["corpus"]["documents"] == 10
    timed = {PLAIN, "float32", "routed", "lora"}
    assert set(report["sides"]) | set(report["missing"]) == timed | {"fastembed"}
    assert timed <= set(report["sides"])
    assert report["sides"]["float32"]["single"]["found"] == 1.0
    assert {one["single"]["n"] for one in report["sides"].values()} == {5}
    assert report["sides"]["routed"]["precision"] in ("float32", "int8")
    assert (report["threads"]["errors"], report["threads"]["requests"]) == (0, 20)
    assert report["start"]["imports_torch"] is False
    assert report["parts"]["lora"]["base pass"] > 0
    assert report["sides"]["float32"]["query_runtime"] == "onnxruntime"
    assert report["sides"]["routed"]["query_runtime"] in ("onnxruntime", "torch")
    assert report["sides"][PLAIN]["query_runtime"] is None
    assert render_queries(report) == render_queries(load_query_report(output))


class Within:
    """A side in this very process, asked as one in a process of its own."""

    def __init__(self, name, folder, *, worker, python):
        assert python is None
        self._tasks = import_module(worker).TASKS
        self._side = SIDES[name].make(Material(folder))

    def opened(self):
        self._side.open()
        return self._side.describe()

    def ask(self, task, **values):
        return self._tasks[task](self._side, **values)

    def close(self):
        pass


def benched_on(device, pack, datasets):
    return bench_queries(datasets, pack=pack, n_queries=5, n_requests=8, threads=2, device=device, peak_tflops=0.5)


def check_report_of_a_gpu(report):
    processor_only = [name for name, entry in SIDES.items() if not entry.runs_on("cuda")]
    assert report["missing"] == dict.fromkeys(processor_only, "it runs on the processor alone")
    assert list(report["sides"]) == [name for name in SIDES if name not in processor_only]
    for name in ("base", "routed", "hybrid", "lora"):
        side = report["sides"][name]
        assert (side["precision"], side["query_runtime"]) == ("bfloat16", "torch")
    assert report["sides"]["base"]["single"]["found"] > 0.8
    # 2 layers of 4 matrices of 32 x 32 and 2 of 32 x 64.
    assert (report["work"]["weights"], report["work"]["layers"], report["work"]["width"]) == (16384, 2, 32)
    for side in report["sides"].values():
        one = side["batch"]
        assert 1e12 * one["tflops"] > one["tokens_per_s"] * 2 * 16384
        assert one["peak_share"] == pytest.approx(one["tflops"] / 0.5)
    assert report["threads"]["errors"] == 0
    assert report["parts"]["lora"]["experts"] > 0
    assert report["start"]["imports_torch"] is True
    assert not {"memory", "precision"} & set(report)
    assert "| batches of 64 | tokens/s | TFLOP/s | of the peak |" in render_queries(report)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # of PEFT
def test_the_whole_benchmark_as_on_a_gpu(pack, datasets, monkeypatch):
    """All that a GPU does, done by the processor: every place that asks is told that it is none."""
    asking = ("sides", "opening", "machine", "models.facts", "queries.preparing", "queries.running")
    for module in asking:
        monkeypatch.setattr(f"routeret.benchmarks.{module}.runs_on_processor", lambda _: False)
    monkeypatch.setattr("routeret.benchmarks.machine.device_title", lambda _: "A GPU")
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: True)
    monkeypatch.setattr(opening, "SideProcess", Within)
    monkeypatch.setattr("routeret.benchmarks.queries.running._STARTS", 1)
    report = benched_on("cpu", pack, datasets)
    check_report_of_a_gpu(report)
    assert render_queries(report).startswith("A GPU; ")


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_whole_benchmark_on_a_gpu(pack, datasets):
    report = benched_on("cuda", pack, datasets)
    check_report_of_a_gpu(report)
    assert render_queries(report).startswith(f"{torch.cuda.get_device_name()}; ")


# --- the page --------------------------------------------------------------------------------------------------------


def timed(ms, *, of_plain, **more):
    return {"p50_ms": ms, "p99_ms": 3 * ms, "n": 200, "of_plain": of_plain, **more}


def a_side(ms, *, of_plain, rate, times, found=1.0, precision=None, **more):
    side = {"versions": {"numpy": "2.4"}, "single": timed(ms, of_plain=of_plain, found=found, **more)}
    side["batch"] = {"queries_per_s": rate, "times_plain": times, "n": 8}
    return side if precision is None else {**side, "precision": precision}


def a_report():
    groups = {"with_experts": timed(3.0, of_plain=0.3), "without_experts": timed(2.0, of_plain=0.2)}
    parts = dict.fromkeys(PARTS, 0.25)
    return {
        "kind": "routeret query benchmark",
        "format": 1,
        "machine": {
            "processor": "P",
            "cores": 2,
            "memory_gib": 8.0,
            "system": "Linux x86_64",
            "python": "3.11",
            "versions": {"numpy": "2.4", "peft": None},
        },
        "settings": {
            "seed": 0,
            "k": 10,
            "batch": 64,
            "rank": 8,
            "pack": "tiny",
            "thread_limits": {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": None},
        },
        "corpus": {"datasets": ["fruit", "ships"], "documents": 1000, "dim": 384, "queries": 200},
        "sides": {
            "routed": a_side(
                2.5, of_plain=0.25, rate=400, times=4, found=0.5, precision="int8", experts_mean=1.5, **groups
            ),
            "base": a_side(2.0, of_plain=0.2, rate=500, times=5, precision="int8"),
            "onnx-int8": a_side(5.0, of_plain=0.5, rate=200, times=2),
            PLAIN: a_side(10.0, of_plain=1.0, rate=100, times=1),
        },
        "missing": {"fastembed": "module 'fastembed' is not installed; install it"},
        "parts": {"routed": parts},
        "threads": {
            "threads": 8,
            "requests": 1000,
            "distinct_requests": 900,
            "errors": 0,
            "first_error": None,
            "alone_per_s": 400.0,
            "together_per_s": 600.0,
            "p50_ms": 10.0,
            "p99_ms": 40.0,
            "n": 1000,
        },
        "start": {"p50_ms": 650.0, "p99_ms": 700.0, "n": 5, "imports_torch": False},
        "memory": {
            "experts_of_each_kind": 10,
            "without": {"now": 100 * 2**20, "own": 50 * 2**20},
            "many": {"now": 130 * 2**20, "own": 75 * 2**20},
            "above": {"now": 30 * 2**20, "own": 25 * 2**20},
        },
        "precision": [
            {
                "dataset": "fruit",
                "queries": 4,
                "ndcg": {"float32": 0.5, "int8": 0.499},
                "cosine_mean": 0.9996,
                "cosine_least": 0.9991,
            }
        ],
    }


def test_the_page_shows_the_figures():
    page = render_queries(a_report())
    assert page == render_queries(json.loads(json.dumps(a_report(), sort_keys=True)))
    lines = page.splitlines()
    expected = [
        "2 cores of P, 8.0 GiB, Linux x86_64, Python 3.11; numpy 2.4; seed 0.",
        "1,000 documents of fruit, ships with 384 dimensions, 200 of their queries for 10 documents each; experts and "
        "router of tiny; LoRA of rank 8; OMP_NUM_THREADS=2.",
        "| SentenceTransformer.encode, IndexFlatIP | 10 | 30 | 1.00 | 100 | 1 | 1.000 |",
        "| routeret, routed, linear experts (int8) | 2.5 | 7.5 | 0.25 | 400 | 4 | 0.500 |",
        "- fastembed, IndexFlatIP: module 'fastembed' is not installed; install it",
        "| linear experts, with an expert | 200 | 3 | 9 | 0.30 |",
        "| linear experts, the base alone | 200 | 2 | 6 | 0.20 |",
        "Experts that a query meets, on the mean: linear experts 1.50.",
        "| routed, linear experts, over the base alone | 1.25 |",
        "| routed, linear experts, over that backend, int8 | 0.50 |",
        "8 threads asking at once, 1,000 requests (900 different): 600 a second, 1.5 times what one thread gets (400); "
        "median 10 ms, 99 % 40 ms, 4 times the median; 0 errors.",
        "| BM25 | 0.25 |",
        "`routeret search` from the shell, in a process that has loaded nothing: 0.65 s, the median of 5; PyTorch is "
        "not imported.",
        "10 LoRA and 10 linear experts with their router take 30 MiB above the same index without experts (100 MiB), "
        "of it 25 MiB not mapped from files.",
        "| fruit | 4 | 0.5000 | 0.4990 | -0.0010 | 0.99960 | 0.99910 |",
    ]
    assert [line for line in expected if line not in lines] == []
    first = lines.index("| SentenceTransformer.encode, IndexFlatIP | 10 | 30 | 1.00 | 100 | 1 | 1.000 |")
    assert lines[first + 1].startswith("| the same, its ONNX backend, int8 | 5 |")


def test_the_page_leaves_out_what_was_not_measured():
    report = a_report()
    sides = {PLAIN: report["sides"][PLAIN]}
    kept = {name: report[name] for name in ("kind", "format", "machine", "settings", "corpus")}
    page = render_queries({**kept, "sides": sides, "missing": {}})
    assert page.count("\n\n") == 2
    assert page.endswith("| SentenceTransformer.encode, IndexFlatIP | 10 | 30 | 1.00 | 100 | 1 | 1.000 |")


def test_the_page_names_the_device_and_what_runs_the_model():
    report = a_report()
    report["machine"]["device"] = "A GPU"
    report["work"] = {"peak_tflops": 200.0, "operations_per_token": 2.5e7}
    for name, runtime in {"routed": "onnxruntime", "base": "onnxruntime", "onnx-int8": None, PLAIN: None}.items():
        report["sides"][name]["query_runtime"] = runtime
        report["sides"][name]["batch"] |= {"tokens_per_s": 4000.0, "tflops": 0.1, "peak_share": 0.0005}
    page = render_queries(report)
    assert page.startswith("A GPU; 2 cores of P, ")
    expected = [
        "What runs the model:",
        "- ONNX Runtime: routeret, base alone; routeret, routed, linear experts",
        "| batches of 64 | tokens/s | TFLOP/s | of the peak |",
        "| routeret, base alone (int8) | 4,000 | 0.1 | 0.1 % |",
        "One pass is 25 million operations a token on the mean; the device does 200 TFLOP/s at most.",
    ]
    assert [line for line in expected if line not in page.splitlines()] == []


def test_another_file_is_no_report(tmp_path):
    (tmp_path / "other.json").write_text('{"kind": "routeret index benchmark", "format": 1}', encoding="utf-8")
    with pytest.raises(ArtifactError, match="not a routeret query benchmark of format 1; write it with routeret bench"):
        load_query_report(tmp_path / "other.json")


def test_pictures_are_the_same_for_the_same_report(tmp_path):
    pytest.importorskip("matplotlib")
    first, again = (draw_queries(a_report(), tmp_path / name) for name in ("one", "two"))
    assert [file.name for file in first] == [f"{name}.svg" for name in PICTURES]
    for name, one, other in zip(PICTURES, first, again, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert fingerprint(shown(a_report())[name]) in one.read_text(encoding="utf-8")
    assert shown(a_report())["one-query"]["routeret, base alone"] == [2.0, 6.0]


def test_the_command_prints_the_page_or_the_report(datasets, monkeypatch):
    asked = {}

    def measured(corpora, **options):
        asked.update(options, corpora=[folder.name for folder in corpora])
        return a_report()

    monkeypatch.setattr(routeret.benchmarks, "bench_queries", measured)
    words = ["bench", "query", "--corpus", *map(str, datasets), "--sides", "base, peft", "--queries", "7"]
    words += ["--peak-tflops", "0.5"]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.stdout == render_queries(a_report()) + "\n"
    assert asked["corpora"] == ["fruit", "ships"]
    assert (asked["sides"], asked["n_queries"], asked["n_requests"], asked["threads"]) == (["base", "peft"], 7, 2000, 8)
    assert (asked["device"], asked["peak_tflops"]) == ("cpu", 0.5)
    told = CliRunner().invoke(main, [*words, "--json", "--device", "cuda"])
    assert json.loads(told.stdout) == a_report()
    assert asked["device"] == "cuda"
