"""Documents by OpenVINO, many queries by ONNX Runtime or, as on a GPU, by PyTorch: vectors near those of float32."""

import multiprocessing
import os
import subprocess
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.encoders import OnnxEncoder, StackedEncoder, TorchEncoder, load_encoder
from routeret.encoders.adapted import AdaptedQueries
from routeret.encoders.graph import document_graph, openvino_runtime
from routeret.encoders.graph.adapter_matrices import scales
from routeret.encoders.graph.kept_threads import KeptThreads
from routeret.encoders.graph.onnx_runtime import OnnxRuntime
from routeret.encoders.graph.openvino_runtime import OpenvinoRuntime
from routeret.encoders.graph.tokens import Tokens
from routeret.encoders.graph.torch_runtime import TorchRuntime
from routeret.encoders.passes import passes_at_once, side_by_side
from routeret.errors import ArtifactError, InputError, MissingExtraError
from routeret.types import Document
from tests.unit.test_onnx_encoder import adapter, cosines

WORDS = ("bank", "card", "river", "water", "tax", "return")
QUERIES = [" ".join(WORDS[: 1 + place % 6]) + f" {place}" for place in range(40)]
DOCUMENTS = [
    Document("short", "bank"),
    Document("titled", "the river returns all of its water", title="river"),
    Document("empty", ""),
    Document("long", "tax return " * 200),
    Document("one megabyte", "b" * 1_000_000),
]


@pytest.fixture
def opened(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))

    def open_it(runtime, **options):
        if runtime == "openvino":
            pytest.importorskip("openvino")
        return OnnxEncoder(e5_model, runtime=runtime, **options)

    return open_it


@pytest.fixture(scope="module")
def twin(e5_model):
    return TorchEncoder(e5_model, device="cpu", precision="float32")


def graph_of(opened, kind):
    """What runs queries: ONNX Runtime in 8 bits, or PyTorch in bfloat16 as on a GPU."""
    if kind == "onnxruntime":
        return opened("torch", query_precision="int8", threads=3).query_graph
    return StackedEncoder(opened("torch").folder, device="cpu", precision="bfloat16").query_graph


def test_many_queries_have_the_vectors_that_each_has_alone(opened, twin):
    encoder = opened("openvino", query_precision="int8", kept_queries=0)
    found = encoder.encode_queries(QUERIES)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.concatenate([encoder.encode_queries([one]) for one in QUERIES]))
    assert cosines(found, twin.encode_queries(QUERIES)).min() > 0.998
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("kind", ["onnxruntime", "torch"])
def test_rows_of_several_adapters_and_of_the_base_go_through_one_call(opened, twin, kind):
    exact = opened("torch", query_precision="float32")
    law, tax = adapter(twin, alpha=0.5), adapter(twin, rank=3, alpha=1.5, seed=1, first=4)
    chosen = [(None, law, tax)[place % 3] for place in range(len(QUERIES))]
    expected = exact.query_graph.vectors(QUERIES, adapters=chosen)
    found = graph_of(opened, kind).vectors(QUERIES, adapters=chosen)
    assert cosines(found, expected).min() > 0.998
    base = exact.query_graph.vectors(QUERIES)
    adapted = [place for place, one in enumerate(chosen) if one is not None]
    assert cosines(base, expected)[adapted].max() < 0.99


def test_in_float32_passes_of_pytorch_are_exact(opened, twin):
    graph = graph_of(opened, "torch")
    graph._runtime = TorchRuntime(twin)
    law, tax = adapter(twin), adapter(twin, rank=3, alpha=1.5, seed=1, first=4)
    chosen = [(None, law, tax)[place % 3] for place in range(len(QUERIES))]
    expected = twin.encode_queries(QUERIES)
    for one in (law, tax):
        rows = [row for row, found in enumerate(chosen) if found is one]
        expected[rows] = AdaptedQueries(twin, one).encode_queries([QUERIES[row] for row in rows])
    np.testing.assert_allclose(graph.vectors(QUERIES, adapters=chosen), expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["onnxruntime", "torch"])
def test_several_threads_share_a_runtime(opened, twin, kind):
    graph, law = graph_of(opened, kind), adapter(twin)
    chosen = [law if place % 2 else None for place in range(len(QUERIES))]
    alone, adapted = graph._computed(QUERIES), graph.vectors(QUERIES, adapters=chosen)
    with ThreadPoolExecutor(4) as pool:
        of_base = [pool.submit(graph._computed, QUERIES) for _ in range(8)]
        of_adapters = [pool.submit(graph.vectors, QUERIES, adapters=chosen) for _ in range(8)]
    for one in of_base:
        np.testing.assert_allclose(one.result(), alone, atol=1e-6)
    for one in of_adapters:
        np.testing.assert_allclose(one.result(), adapted, atol=1e-6)


def test_several_threads_share_what_runs_documents(opened):
    encoder = opened("openvino")
    expected = encoder.encode_documents(DOCUMENTS).vectors
    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(encoder.encode_documents, DOCUMENTS) for _ in range(8)]
    for one in found:
        np.testing.assert_allclose(one.result().vectors, expected, atol=1e-6)


def test_an_encoder_tells_what_runs_queries(opened, monkeypatch, tmp_path):
    assert opened("torch", precision="bfloat16").query_runtime == "onnxruntime"
    assert opened("openvino").query_runtime == "onnxruntime"
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "none"))
    assert OnnxEncoder(opened("torch").folder).query_runtime == "torch"


def test_documents_have_the_vectors_that_pytorch_writes(opened, twin):
    ours, theirs = opened("openvino").encode_documents(DOCUMENTS), twin.encode_documents(DOCUMENTS)
    assert cosines(ours.vectors, theirs.vectors).min() > 0.999
    np.testing.assert_array_equal(ours.truncated, theirs.truncated)
    assert ours.truncated.tolist() == [False, True, False, True, False]
    assert ours.n_tokens == theirs.n_tokens == 5 + 16 + 4 + 16 + 5
    nothing = opened("openvino").encode_documents([])
    assert (nothing.vectors.shape, nothing.n_tokens) == ((0, 32), 0)


def test_a_document_of_just_the_limit_is_not_cut(opened):
    encoder = opened("openvino", max_tokens=6, document_prompt="")
    found = encoder.encode_documents(
        [Document("4", "bank card river water"), Document("5", "bank card river water tax")]
    )
    assert found.truncated.tolist() == [False, True]
    assert found.n_tokens == 6 + 6


@given(
    texts=st.lists(st.lists(st.sampled_from((*WORDS, "", "x" * 70, "x" * 150, "\u00fc")), max_size=12), max_size=4),
    max_tokens=st.integers(3, 24),
    prompt=st.sampled_from(("", "passage: ", "tax " * 20)),
)
@settings(max_examples=60, deadline=None)
def test_texts_are_cut_where_pytorch_cuts_them(graphs, twin, texts, max_tokens, prompt):
    (file,) = graphs.glob("*/tokenizer.json")
    joined = [" ".join(words) for words in texts]
    encoder = TorchEncoder(twin.folder, max_tokens=max_tokens, device="cpu")
    _, lengths = encoder._heads(twin._loaded(), joined, prompt=prompt)
    tokens = Tokens(file.read_text(encoding="utf-8"), max_tokens=max_tokens, prompt=prompt)
    found, is_cut = tokens.read_and_tell_cut(joined)
    assert is_cut.tolist() == (lengths > max_tokens).tolist()
    assert [len(one) for one in found] == np.minimum(lengths, max_tokens).tolist()


def test_a_tokenizer_reads_few_texts_at_once(graphs, monkeypatch):
    (file,) = graphs.glob("*/tokenizer.json")
    tokens = Tokens(file.read_text(encoding="utf-8"), max_tokens=4, prompt="")
    real, calls = tokens._tokenizer, []

    def counted(asked):
        calls.append(len(asked))
        return real.encode_batch_fast(asked)

    monkeypatch.setattr(tokens, "_tokenizer", SimpleNamespace(encode_batch_fast=counted))
    found, is_cut = tokens.read_and_tell_cut(["bank card", "bank card river"] * 300)
    assert calls == [256, 256, 88]
    assert is_cut.tolist() == [False, True] * 300
    assert found == [found[0], found[1]] * 300


def test_rows_are_not_filled_beyond_the_limit(opened, twin, monkeypatch):
    # A model may have no positions for more.
    widths = []
    filled = OpenvinoRuntime._filled

    def recorded(self, name, array):
        widths.append(filled(self, name, array).shape[1])
        return filled(self, name, array)

    monkeypatch.setattr(OpenvinoRuntime, "_filled", recorded)
    encoder = opened("openvino", max_tokens=13)
    found = encoder.encode_documents(DOCUMENTS)
    assert max(widths) == 13
    exact = TorchEncoder(twin.folder, max_tokens=13, device="cpu", precision="float32").encode_documents(DOCUMENTS)
    assert cosines(found.vectors, exact.vectors).min() > 0.999


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that are forked")
@pytest.mark.parametrize("kind", ["documents", "queries"])
def test_a_forked_process_has_threads_of_its_own(opened, kind):
    # The parent's threads stay behind; a pass that waited for them would never end.
    if kind == "documents":
        encoder = opened("openvino")
        write = partial(_documents_by, encoder)
    else:
        encoder = opened("torch", query_precision="int8", threads=3, kept_queries=0)
        write = partial(encoder.encode_queries, QUERIES)
    expected = write()
    context = multiprocessing.get_context("fork")
    found = context.Queue()
    with warnings.catch_warnings():
        # Python warns of forking a process of several threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = context.Process(target=lambda: found.put(write()), daemon=True)
        child.start()
    try:
        np.testing.assert_array_equal(found.get(timeout=60), expected)
    finally:
        child.kill()


def _documents_by(encoder):
    return encoder.encode_documents(DOCUMENTS).vectors


def test_a_pass_runs_on_every_core(opened, monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)), raising=False)
    all_there = threading.Barrier(6)
    # It is passed as soon as six passes wait at once.
    opened("openvino").document_graph._runtime.each(lambda _: all_there.wait(timeout=20), iter([np.arange(1)] * 6))


def test_whoever_asks_computes_and_waits_for_no_busy_thread():
    computed, at_once = [], threading.Barrier(2)
    with ThreadPoolExecutor(1) as pool:
        # The only kept thread is busy until all is computed.
        done = threading.Event()
        pool.submit(done.wait, 20)
        kept(pool, n_threads=4).each(lambda rows: computed.append(int(rows[0])), passes_of_one(6))
        assert computed == [5, 4, 3, 2, 1, 0]
        done.set()
    with ThreadPoolExecutor(1) as pool:
        # It is passed as soon as the kept thread and the one that asks wait at once.
        kept(pool, n_threads=4).each(lambda _: at_once.wait(timeout=20), passes_of_one(2))


def test_what_a_kept_thread_raises_reaches_whoever_asks():
    def fail_at(rows):
        if rows[0] == failing:
            raise ValueError(f"pass {failing}")

    with ThreadPoolExecutor(2) as pool:
        for failing in range(4):
            with pytest.raises(ValueError, match=f"pass {failing}"):
                kept(pool, n_threads=3).each(fail_at, passes_of_one(4))
        failing = -1
        kept(pool, n_threads=3).each(fail_at, passes_of_one(4))


def test_a_pool_that_takes_nothing_more_is_done_without():
    pool, computed = ThreadPoolExecutor(1), []
    pool.shutdown()
    kept(pool, n_threads=2).each(lambda rows: computed.append(int(rows[0])), passes_of_one(3))
    assert computed == [2, 1, 0]


def kept(pool, *, n_threads):
    threads = KeptThreads(n_threads)
    threads._pool = SimpleNamespace(get=lambda: pool)
    return threads


def passes_of_one(n_texts):
    return iter(np.arange(n_texts)[:, None])


def test_threads_that_first_meet_an_array_at_once_do_not_wait_for_ever(graphs, e5_model):
    pytest.importorskip("openvino")
    code = (
        "import sys; from routeret.encoders import OnnxEncoder; from routeret.types import Document\n"
        "sys.setswitchinterval(1e-6)\n"
        f"encoder = OnnxEncoder({str(e5_model)!r}, runtime='openvino', threads=4)\n"
        "print(encoder.encode_documents([Document('a', 'bank')]).vectors.shape)"
    )
    environment = {"ROUTERET_GRAPHS": str(graphs)}
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    assert found.stdout == "(1, 32)\n"


def test_documents_need_no_torch(graphs, e5_model):
    pytest.importorskip("openvino")
    code = (
        "import sys; from routeret.encoders import OnnxEncoder; from routeret.types import Document\n"
        f"found = OnnxEncoder({str(e5_model)!r}, runtime='openvino').encode_documents([Document('a', 'bank')])\n"
        "print(found.vectors.shape, 'torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"ROUTERET_GRAPHS": str(graphs)}
    )
    assert found.stdout.strip() == "(1, 32) False"


def test_without_a_graph_pytorch_writes_documents(e5_model, monkeypatch, tmp_path):
    pytest.importorskip("openvino")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "none"))
    assert OnnxEncoder(e5_model, runtime="openvino").document_graph is None


def test_exact_documents_are_not_written_by_openvino(opened):
    assert opened("auto", precision="float32").document_graph is None
    pytest.importorskip("openvino")
    with pytest.raises(InputError, match="precision 'float32' and runtime 'openvino'"):
        opened("openvino", precision="float32")


def test_openvino_that_is_not_installed_is_named(opened, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert opened("auto").document_graph is None
    with pytest.raises(MissingExtraError, match=r"routeret\[openvino\]"):
        OnnxEncoder(opened("auto").folder, runtime="openvino")


@pytest.mark.parametrize("core", [{}, {"Core": lambda: int("no such device")}])
def test_openvino_that_cannot_be_loaded_is_left_alone(opened, monkeypatch, core):
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(**core))
    assert opened("auto").document_graph is None


def test_vectors_that_are_not_finite_are_refused(opened, monkeypatch):
    monkeypatch.setattr(
        OpenvinoRuntime, "vectors", lambda _, inputs: np.full((len(inputs["input_ids"]), 32), np.nan, np.float32)
    )
    with pytest.raises(ArtifactError, match="a cosine of nan to the exact ones"):
        opened("openvino").encode_documents(DOCUMENTS)


def test_vectors_of_another_space_are_refused(opened, monkeypatch):
    encoder = opened("openvino")
    # Every cosine is at most 1.
    monkeypatch.setitem(document_graph.LEAST_COSINE, "bfloat16", 1.01)
    with pytest.raises(ArtifactError, match=r"OpenVINO writes vectors of a cosine of 0\.9.*expected at least 1\.01"):
        encoder.encode_documents(DOCUMENTS)
    monkeypatch.setattr(openvino_runtime, "is_worthwhile", lambda: True)
    assert opened("auto").document_graph is None


def test_a_rank_counts_in_the_rows_of_its_adapter(twin):
    law, tax = adapter(twin, rank=2, alpha=6.0), adapter(twin, rank=1, alpha=0.5)
    found = scales([law, None, tax], (law, tax))
    np.testing.assert_array_equal(found[:, 0], [[3, 3, 0], [0, 0, 0], [0, 0, 0.5]])


def test_padding_changes_nothing(opened):
    encoder = opened("openvino")
    assert isinstance(encoder.query_graph._runtime, OnnxRuntime)
    runtime = encoder.document_graph._runtime
    whole = {"input_ids": np.array([[2, 5, 6, 7, 8, 9, 10, 3]]), "token_type_ids": np.zeros((1, 8), dtype=np.int64)}
    whole["attention_mask"] = np.ones((1, 8), dtype=np.int64)
    cut = {name: array[:, :5] for name, array in whole.items()}
    filled = {name: np.where(np.arange(8) < 5, array, 0) for name, array in whole.items()}
    np.testing.assert_allclose(runtime.vectors(cut), runtime.vectors(filled), atol=1e-6)


# --- the same arithmetic without an export, as a GPU runs it ---------------------------------------------------------


def test_base_and_adapters_share_passes_without_an_export(e5_model, twin):
    encoder = StackedEncoder(e5_model, device="cpu", precision="bfloat16")
    law = adapter(twin, alpha=0.5)
    graph = encoder.query_graph
    assert graph is not None
    assert cosines(encoder.encode_queries(QUERIES), twin.encode_queries(QUERIES)).min() > 0.999
    mixed = graph.vectors(QUERIES, adapters=[law if place % 2 else None for place in range(len(QUERIES))])
    expected = twin.encode_queries(QUERIES)
    expected[1::2] = AdaptedQueries(twin, law).encode_queries(QUERIES[1::2])
    assert cosines(mixed, expected).min() > 0.998
    assert encoder.encode_queries([]).shape == (0, 32)


def test_a_query_that_comes_again_is_not_computed_again(e5_model, monkeypatch):
    encoder = StackedEncoder(e5_model, device="cpu", precision="bfloat16")
    first = encoder.encode_queries(QUERIES[:3])
    monkeypatch.setattr(TorchRuntime, "vectors", lambda *_: pytest.fail("computed again"))
    np.testing.assert_array_equal(encoder.encode_queries(QUERIES[:3]), first)


def test_float32_is_left_to_pytorch(e5_model, twin):
    encoder = StackedEncoder(e5_model, device="cpu", precision="float32")
    assert encoder.query_graph is None
    np.testing.assert_array_equal(encoder.encode_queries(QUERIES), twin.encode_queries(QUERIES))


def test_a_copy_for_another_device_has_a_graph_of_its_own(e5_model):
    encoder = StackedEncoder(e5_model, device="cpu", precision="bfloat16")
    other = encoder.on("cpu")
    assert encoder.query_graph is not None
    assert other.query_graph is not encoder.query_graph
    assert other._model is not encoder._model


def test_a_gpu_gets_the_encoder_without_an_export(e5_model):
    assert type(load_encoder(e5_model, device="cuda")) is StackedEncoder
    assert type(load_encoder(e5_model, device="cpu").on("cuda")) is StackedEncoder


def test_settings_of_queries_go_along_to_another_device(opened):
    asked = opened("auto", kept_queries=7).on("cuda")
    assert type(asked) is StackedEncoder
    assert asked._kept_queries == 7
    # Named arithmetic is not rounded elsewhere, either.
    assert type(opened("auto", query_precision="float32").on("cuda")) is TorchEncoder


# --- threads of PyTorch ----------------------------------------------------------------------------------------------


def test_a_thread_that_asks_while_workers_take_a_core_keeps_all(monkeypatch):
    before, set_threads = torch.get_num_threads(), torch.set_num_threads
    taken, found = threading.Event(), []

    def slowly(number):
        set_threads(number)
        if number == 1:
            taken.set()
            time.sleep(0.02)

    def ask():
        taken.wait(timeout=20)
        found.append(passes_at_once("cpu"))

    set_threads(3)
    monkeypatch.setattr(torch, "set_num_threads", slowly)
    other = threading.Thread(target=ask)
    other.start()
    side_by_side(lambda _: None, iter([np.arange(1)] * 2), threads=2)
    other.join()
    set_threads(before)
    assert found == [3]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_writes_what_the_processor_writes(e5_model, twin):
    law = adapter(twin, alpha=0.5)
    encoder = StackedEncoder(e5_model, device="cuda")
    assert cosines(encoder.encode_queries(QUERIES), twin.encode_queries(QUERIES)).min() > 0.999
    adapted = AdaptedQueries(encoder, law).encode_queries(QUERIES)
    assert cosines(adapted, AdaptedQueries(twin, law).encode_queries(QUERIES)).min() > 0.998
