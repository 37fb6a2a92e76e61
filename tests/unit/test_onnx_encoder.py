"""Queries run by an exported graph: the same vectors as PyTorch's, for the base and for adapters, in any batch."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from routeret.artifact import write_manifest
from routeret.encoders import HashingEncoder, OnnxEncoder, TorchEncoder, load_encoder
from routeret.encoders.adapted import AdaptedQueries, adaptable_layers, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.encoders.graph import exporting
from routeret.encoders.graph.exporting import ARCHITECTURES
from routeret.encoders.graph.onnx_runtime import OnnxRuntime
from routeret.encoders.graph.store import FORMAT, KIND, graph_key, graphs_folder, is_there
from routeret.encoders.probes import PROBES
from routeret.errors import ArtifactError, InputError
from routeret.types import Document

TEXTS = ["bank card", "ü", "", " ", "the river returns all of its water to the bank and pays a tax", "BANK card", "🌧 7"]


@pytest.fixture
def encoder(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    return OnnxEncoder(e5_model, query_precision="float32")


@pytest.fixture(scope="module")
def twin(e5_model):
    return TorchEncoder(e5_model, device="cpu")


def adapter(twin, *, rank=2, alpha=6.0, seed=0, first=0):
    """Matrices drawn by chance, of all layers from one on."""
    rng = np.random.default_rng(seed)
    transformer = transformer_of(twin.fresh_model())
    targets = adaptable_layers(transformer)[first:]
    weights = {}
    for name in targets:
        layer = transformer.get_submodule(name)
        weights[f"{name}.lora_A.weight"] = rng.normal(size=(rank, layer.in_features)).astype(np.float32)
        weights[f"{name}.lora_B.weight"] = (0.3 * rng.normal(size=(layer.out_features, rank))).astype(np.float32)
    return Adapter(rank=rank, alpha=alpha, targets=targets, weights=weights)


def cosines(left, right):
    return (left * right).sum(axis=1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


# --- the same vectors ------------------------------------------------------------------------------------------------


def test_a_graph_writes_what_pytorch_writes(encoder, twin):
    assert encoder.query_graph is not None
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS), atol=2e-6)


def test_whole_numbers_of_8_bits_stay_in_the_space(graphs, e5_model, twin, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    exact = twin.encode_queries(TEXTS)
    rounded = OnnxEncoder(e5_model, query_precision="int8").encode_queries(TEXTS)
    assert cosines(rounded, exact).min() > 0.999
    assert not np.array_equal(rounded, exact)


def test_one_query_and_many_give_the_same(encoder):
    together = encoder.encode_queries(TEXTS)
    alone = np.concatenate([encoder.encode_queries([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)


def test_in_8_bits_one_query_and_many_give_exactly_the_same(graphs, e5_model, monkeypatch):
    # What a layer meets has one scale, which must not depend on what else is asked.
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    encoder = OnnxEncoder(e5_model, query_precision="int8", kept_queries=0, threads=3)
    together = encoder.encode_queries(TEXTS * 3)
    alone = np.concatenate([encoder.encode_queries([text]) for text in TEXTS * 3])
    np.testing.assert_array_equal(together, alone)


def test_no_query_gives_no_vector(encoder):
    assert encoder.encode_queries([]).shape == (0, 32)


def test_a_long_query_is_cut_where_pytorch_cuts_it(encoder, twin):
    texts = ["bank " * 100_000, "b" * 200_000, "ü" * 15, " " * 5_000 + "river"]
    np.testing.assert_allclose(encoder.encode_queries(texts), twin.encode_queries(texts), atol=2e-6)


def test_a_smaller_limit_cuts_earlier(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    texts = ["bank card river water tax return bank card"]
    short = OnnxEncoder(e5_model, max_tokens=6, query_precision="float32").encode_queries(texts)
    expected = TorchEncoder(e5_model, max_tokens=6, device="cpu").encode_queries(texts)
    np.testing.assert_allclose(short, expected, atol=2e-6)


def test_the_prompt_is_the_encoders(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    ours = OnnxEncoder(e5_model, query_prompt="tax: ", query_precision="float32").encode_queries(TEXTS)
    np.testing.assert_allclose(
        ours, TorchEncoder(e5_model, query_prompt="tax: ", device="cpu").encode_queries(TEXTS), atol=2e-6
    )


def test_other_things_than_texts_are_refused(encoder):
    with pytest.raises(InputError, match=r"found one string 'bank', expected a list of strings"):
        encoder.encode_queries("bank")
    with pytest.raises(InputError, match=r"text 1 is a int, expected str"):
        encoder.encode_queries(["bank", 7])


def test_pytorch_writes_documents_as_without_a_graph(graphs, e5_model, twin, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    documents = [Document("a", "the river returns"), Document("b", "bank", title="card")]
    ours, theirs = OnnxEncoder(e5_model, runtime="torch").encode_documents(documents), twin.encode_documents(documents)
    np.testing.assert_array_equal(ours.vectors, theirs.vectors)


def test_space_and_tower_are_those_of_the_model(encoder, twin):
    assert encoder.space == twin.space
    assert encoder.query_tower == twin.query_tower


# --- adapters --------------------------------------------------------------------------------------------------------


def test_an_adapter_in_the_graph_writes_what_peft_writes(encoder, twin):
    law = adapter(twin)
    ours, theirs = AdaptedQueries(encoder, law).encode_queries(TEXTS), AdaptedQueries(twin, law).encode_queries(TEXTS)
    np.testing.assert_allclose(ours, theirs, atol=5e-6)
    assert cosines(ours, encoder.encode_queries(TEXTS)).mean() < 0.99


def test_rows_of_different_adapters_and_of_the_base_go_through_one_call(encoder, twin, monkeypatch):
    law, tax = adapter(twin), adapter(twin, rank=3, alpha=1.5, seed=1, first=4)
    chosen = [None, law, tax, law, None, tax, tax]
    expected = twin.encode_queries(TEXTS)
    for name in (law, tax):
        rows = [row for row, one in enumerate(chosen) if one is name]
        expected[rows] = AdaptedQueries(twin, name).encode_queries([TEXTS[row] for row in rows])
    calls = []
    adapted_vectors = OnnxRuntime.adapted_vectors

    def counted(self, inputs, adapters):
        calls.append(Counter(adapters))
        return adapted_vectors(self, inputs, adapters)

    monkeypatch.setattr(OnnxRuntime, "adapted_vectors", counted)
    ours = encoder.query_graph.vectors(TEXTS, adapters=chosen)
    np.testing.assert_allclose(ours, expected, atol=5e-6)
    assert calls == [Counter({None: 2, law: 2, tax: 3})]


def test_in_8_bits_rows_of_different_adapters_are_what_they_are_alone(graphs, e5_model, twin, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    encoder = OnnxEncoder(e5_model, query_precision="int8", kept_queries=0)
    law, tax = adapter(twin), adapter(twin, rank=3, alpha=1.5, seed=1, first=4)
    chosen = [None, law, tax, law, None, tax, tax]
    together = encoder.query_graph.vectors(TEXTS, adapters=chosen)
    for row, one in enumerate(chosen):
        by_pytorch = twin if one is None else AdaptedQueries(twin, one)
        assert cosines(together[[row]], by_pytorch.encode_queries([TEXTS[row]])).item() > 0.999
        alone = encoder.query_graph.vectors([TEXTS[row]], adapters=[one])
        np.testing.assert_array_equal(alone[0], together[row])


def test_an_adapter_of_another_base_is_refused(encoder, twin):
    law = adapter(twin)
    weights = {name.replace("encoder.layer.0", "encoder.layer.9"): matrix for name, matrix in law.weights.items()}
    targets = tuple(name.replace("encoder.layer.0", "encoder.layer.9") for name in law.targets)
    other = Adapter(rank=law.rank, alpha=law.alpha, targets=targets, weights=weights)
    with pytest.raises(InputError, match=r"layer 'encoder.layer.9.*the base has no such layer"):
        AdaptedQueries(encoder, other).encode_queries(TEXTS)


def test_several_threads_share_one_encoder(encoder, twin):
    law = AdaptedQueries(encoder, adapter(twin))
    base, adapted = encoder.encode_queries(TEXTS), law.encode_queries(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        of_base = [pool.submit(encoder.encode_queries, TEXTS) for _ in range(20)]
        of_adapter = [pool.submit(law.encode_queries, TEXTS) for _ in range(20)]
    for one in of_base:
        np.testing.assert_array_equal(one.result(), base)
    for one in of_adapter:
        np.testing.assert_array_equal(one.result(), adapted)


# --- exporting -------------------------------------------------------------------------------------------------------


def manifest_of(graphs):
    (file,) = graphs.glob("*/manifest.json")
    return json.loads(file.read_text(encoding="utf-8"))


def facts_of(manifest):
    """What of it tells what the graph reads and writes."""
    return {name: manifest[name] for name in ("inputs", "padding", "dim", "layers")}


def test_the_manifest_says_how_the_graph_compares(graphs):
    manifest = manifest_of(graphs)
    assert manifest["inputs"] == ["input_ids", "token_type_ids", "attention_mask"]
    assert manifest["layers"][0] == ["encoder.layer.0.attention.self.query", 32, 32]
    assert len(manifest["layers"]) == 12
    assert manifest["measured"]["float32"]["least_cosine"] > 0.99999
    assert manifest["precision"] in manifest["measured"]


def test_a_graph_without_its_8_bit_twin_is_good_in_float32(graphs, e5_model, twin, tmp_path, monkeypatch, caplog):
    (folder,) = (one.parent for one in graphs.glob("*/manifest.json"))
    shutil.copytree(folder, tmp_path / "graph", ignore=shutil.ignore_patterns("manifest.json"))

    def fail(*given):
        given[1].with_name("int8.onnx.data").write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(exporting, "quantise", fail)
    encoder, fields = TorchEncoder(e5_model, device="cpu"), manifest_of(graphs)
    exporting._quantise(encoder, tmp_path / "graph", fields)
    assert list((tmp_path / "graph").glob("int8*")) == []
    assert "has no 8-bit twin: no space left" in caplog.text
    found = exporting._measured(encoder, tmp_path / "graph", fields, twin.encode_queries(PROBES))
    assert list(found) == ["float32"]
    assert found["float32"]["least_cosine"] > 0.9999


@pytest.fixture
def exported_before(graphs, monkeypatch):
    """Exporting gives the graph that the tiny model has already."""
    (folder,) = (one.parent for one in graphs.glob("*/manifest.json"))
    fields = facts_of(manifest_of(graphs))

    def taken(*given):
        shutil.copytree(folder, given[2], ignore=shutil.ignore_patterns("manifest.json"), dirs_exist_ok=True)
        return dict(fields)

    monkeypatch.setattr(exporting, "_export", taken)


@pytest.mark.usefixtures("exported_before")
def test_a_graph_that_is_not_pytorch_is_not_kept(e5_model, twin, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path))
    # Every cosine is at most 1.
    monkeypatch.setitem(exporting.LEAST_COSINE, "float32", 1.01)
    encoder = OnnxEncoder(e5_model)
    with pytest.raises(ArtifactError, match=r"of a cosine of [01]\.\d+ to PyTorch's, .*1\.01; nothing was kept"):
        encoder.prepare()
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS))


@pytest.mark.usefixtures("exported_before")
@pytest.mark.parametrize(("bound", "chosen"), [(0.9, "int8"), (1.01, "float32")])
def test_the_faster_graph_is_chosen_of_those_that_stay_in_the_space(e5_model, tmp_path, monkeypatch, bound, chosen):
    measured = exporting._measured

    def with_fast_bytes(*given):
        found = measured(*given)
        return {name: {**one, "milliseconds": {"float32": 2, "int8": 1}[name]} for name, one in found.items()}

    monkeypatch.setattr(exporting, "_measured", with_fast_bytes)
    monkeypatch.setitem(exporting.LEAST_COSINE, "int8", bound)
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path))
    encoder = OnnxEncoder(e5_model)
    assert encoder.prepare()
    assert manifest_of(tmp_path)["precision"] == chosen
    by_name = OnnxEncoder(e5_model, query_precision=chosen)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), by_name.encode_queries(TEXTS))


def test_a_graph_is_exported_once(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    before = manifest_of(graphs)
    assert OnnxEncoder(e5_model, max_tokens=8, query_prompt="").prepare()
    assert manifest_of(graphs) == before


def test_a_graph_does_not_depend_on_the_settings_of_who_exports_it(graphs, e5_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path))
    assert OnnxEncoder(e5_model, max_tokens=3, query_prompt="other: ").prepare()
    here, there = (
        {name: one["least_cosine"] for name, one in manifest_of(folder)["measured"].items()}
        for folder in (tmp_path, graphs)
    )
    assert here == there


def test_without_a_graph_pytorch_runs_queries(e5_model, twin, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "none"))
    encoder = OnnxEncoder(e5_model)
    assert encoder.query_graph is None
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS))
    assert not (tmp_path / "none").exists()


def test_off_exports_nothing(e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", "off")
    assert graphs_folder() is None
    assert OnnxEncoder(e5_model).prepare() is False


def test_graphs_lie_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("ROUTERET_GRAPHS")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert graphs_folder() == tmp_path / "routeret" / "graphs"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert graphs_folder() == tmp_path / "me" / ".cache" / "routeret" / "graphs"


def test_a_graph_folder_of_the_home_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ROUTERET_GRAPHS", "~/graphs")
    assert graphs_folder() == tmp_path / "graphs"


def test_a_user_without_a_home_has_no_graphs(e5_model, monkeypatch):
    monkeypatch.delenv("ROUTERET_GRAPHS")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    # What Python gives where neither $HOME nor the system tells.
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert graphs_folder() is None
    assert OnnxEncoder(e5_model).query_graph is None


def test_a_cache_that_may_not_be_looked_into_holds_no_graph(tmp_path, monkeypatch):
    assert is_there(tmp_path)

    def refuse(path, **_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "stat", refuse)
    there = is_there(tmp_path)
    monkeypatch.undo()
    assert not there


def test_a_cache_that_cannot_be_written_is_named(e5_model, twin, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "file" / "graphs"))
    encoder = OnnxEncoder(e5_model)
    with pytest.raises(ArtifactError, match=r"could not be made in .*file/graphs/.*NotADirectoryError.*=off"):
        encoder.prepare()
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS))


def test_a_graph_that_another_process_has_exported_is_taken(graphs, e5_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    encoder = OnnxEncoder(e5_model)
    assert encoder.query_graph is None
    shutil.copytree(graphs, tmp_path / "graphs")
    assert encoder.prepare()
    assert encoder.query_graph is not None


def test_prompts_and_limits_share_a_graph_and_weights_do_not(e5_model, own_model):
    from safetensors.numpy import load_file, save_file

    weights = load_file(own_model / "model.safetensors")
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, own_model / "model.safetensors", metadata={"format": "pt"})
    ours = TorchEncoder(e5_model)
    other_settings = TorchEncoder(e5_model, max_tokens=8, document_prompt="x", query_prompt="y")
    assert graph_key(ours.space) == graph_key(other_settings.space)
    assert graph_key(ours.space) != graph_key(TorchEncoder(own_model).space)


@pytest.mark.parametrize(
    ("precision", "file"), [("float32", "tokenizer.json"), ("float32", "float32.onnx"), ("int8", "int8.safetensors")]
)
def test_a_damaged_graph_is_named(graphs, e5_model, tmp_path, monkeypatch, precision, file):
    shutil.copytree(graphs, tmp_path / "graphs")
    (manifest,) = (tmp_path / "graphs").glob("*/manifest.json")
    (manifest.parent / file).write_text("{", encoding="utf-8")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    with pytest.raises(ArtifactError, match="is damaged.*remove the folder"):
        OnnxEncoder(e5_model, query_precision=precision).encode_queries(["bank"])


@pytest.mark.parametrize(
    ("least", "told"), [(0.98, "a cosine of 0.98000 to PyTorch's, expected at least 0.99"), (0.995, "")]
)
def test_coarse_8_bit_numbers_that_were_asked_for_are_told(
    graphs, e5_model, tmp_path, monkeypatch, caplog, least, told
):
    ask_with_measured(graphs, tmp_path, monkeypatch, int8={"least_cosine": least, "milliseconds": 1.0})
    OnnxEncoder(e5_model, query_precision="int8").encode_queries(["bank"])
    assert told in caplog.text
    assert len(caplog.records) == bool(told)


def test_8_bit_numbers_that_a_machine_cannot_compute_in_are_refused(graphs, e5_model, tmp_path, monkeypatch):
    ask_with_measured(graphs, tmp_path, monkeypatch)
    with pytest.raises(InputError, match=r"could not be run in 8-bit numbers on this machine; use .*='auto'"):
        OnnxEncoder(e5_model, query_precision="int8").encode_queries(["bank"])


def ask_with_measured(graphs, folder, monkeypatch, **of_bytes):
    """Take a graph that was found to compute so in 8-bit numbers, or not at all."""
    manifest = manifest_of(graphs)
    shutil.copytree(graphs, folder / "graphs", ignore=shutil.ignore_patterns("manifest.json"))
    (graph,) = (folder / "graphs" / one.parent.name for one in graphs.glob("*/manifest.json"))
    measured = {"float32": manifest["measured"]["float32"], **of_bytes}
    fields = {**facts_of(manifest), "precision": manifest["precision"], "measured": measured}
    write_manifest(graph, kind=KIND, format_number=FORMAT, fields=fields)
    monkeypatch.setenv("ROUTERET_GRAPHS", str(folder / "graphs"))


def test_a_query_needs_no_torch(graphs, e5_model):
    code = (
        "import sys; from routeret.encoders import OnnxEncoder\n"
        f"print(OnnxEncoder({str(e5_model)!r}).encode_queries(['bank']).shape, 'torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"ROUTERET_GRAPHS": str(graphs)}
    )
    assert found.stdout.strip() == "(1, 32) False"


# --- settings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "cuda"}, "found device 'cuda', expected cpu"),
        ({"query_precision": "int4"}, "found query_precision 'int4', expected auto, float32 or int8"),
        ({"threads": 0}, "found threads 0, expected at least 1"),
        ({"kept_queries": -1}, "found kept_queries -1, expected at least 0"),
        ({"runtime": "tvm"}, "found runtime 'tvm', expected auto, openvino or torch"),
    ],
)
def test_settings_out_of_range(e5_model, settings, message):
    with pytest.raises(InputError, match=message):
        OnnxEncoder(e5_model, **settings)


def test_a_processor_gets_the_encoder_with_a_graph(e5_model):
    assert isinstance(load_encoder(e5_model, device="cpu"), OnnxEncoder)
    assert isinstance(load_encoder("hashing"), HashingEncoder)
    elsewhere = load_encoder(e5_model, device="cuda")
    assert not isinstance(elsewhere, OnnxEncoder)
    assert load_encoder(e5_model, device="cpu").on("cuda").device == "cuda"


# --- other models ----------------------------------------------------------------------------------------------------


def written_by_transformers(folder, kind, e5_model):
    """A tiny model of random weights, of some architecture, whose tokenizer is that of the tiny BERT."""
    import torch
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    if kind == "distilbert":
        sizes = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=90, max_position_embeddings=40, pad_token_id=0, **sizes)
    AutoModel.from_config(config).save_pretrained(folder)
    marks = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(
        tokenizer_file=str(e5_model / "tokenizer.json"), model_max_length=16, **marks
    ).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(ARCHITECTURES - {"bert"}))
def test_every_architecture_writes_what_pytorch_writes(kind, e5_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    model = written_by_transformers(tmp_path / kind, kind, e5_model)
    encoder, twin = OnnxEncoder(model, query_precision="float32"), TorchEncoder(model, device="cpu")
    assert encoder.prepare()
    np.testing.assert_allclose(encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS), atol=5e-6)
    law = adapter(twin)
    exact = AdaptedQueries(twin, law).encode_queries(TEXTS)
    np.testing.assert_allclose(AdaptedQueries(encoder, law).encode_queries(TEXTS), exact, atol=2e-5)
    rounded = OnnxEncoder(model, query_precision="int8")
    assert cosines(rounded.encode_queries(TEXTS), twin.encode_queries(TEXTS)).min() > 0.999
    assert cosines(AdaptedQueries(rounded, law).encode_queries(TEXTS), exact).min() > 0.99


def test_lengths_and_a_projection_are_kept(tiny_models, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    model = tiny_models.write(tmp_path / "tiny", similarity="dot", normalize=False, dense=8)
    encoder, twin = OnnxEncoder(model, query_precision="float32"), TorchEncoder(model, device="cpu")
    assert encoder.prepare()
    ours, theirs = encoder.encode_queries(TEXTS), twin.encode_queries(TEXTS)
    assert np.abs(np.linalg.norm(theirs, axis=1) - 1).min() > 1e-3
    np.testing.assert_allclose(ours, theirs, atol=5e-6)


def test_a_model_that_no_graph_can_hold_is_left_to_pytorch(own_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    config = json.loads((own_model / "config.json").read_text(encoding="utf-8"))
    (own_model / "config.json").write_text(json.dumps({**config, "model_type": "bert-generation"}), encoding="utf-8")
    assert OnnxEncoder(own_model).prepare() is False
    assert not (tmp_path / "graphs").exists()


def test_a_pooling_that_leaves_the_prompt_out_is_left_to_pytorch(own_model, tmp_path, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "graphs"))
    file = own_model / "1_Pooling" / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**config, "include_prompt": False}), encoding="utf-8")
    assert OnnxEncoder(own_model).prepare() is False
    assert not (tmp_path / "graphs").exists()


# --- a retriever -----------------------------------------------------------------------------------------------------


def test_a_retriever_prepares_the_machine(e5_model, tmp_path, graphs, monkeypatch):
    from routeret import Document, Retriever

    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    documents = [Document("a", "the river returns"), Document("b", "bank card"), Document("c", "tax return")]
    with Retriever.create(tmp_path / "kb", base=e5_model, device="cpu") as retriever:
        retriever.add(documents)
        assert retriever.warm() == [str(e5_model)]
        by_graph = retriever.search("bank card", expert="base")
    monkeypatch.setenv("ROUTERET_GRAPHS", "off")
    with Retriever.open(tmp_path / "kb", device="cpu") as retriever:
        assert retriever.warm() == []
        by_pytorch = retriever.search("bank card", expert="base")
    assert [hit.id for hit in by_graph] == [hit.id for hit in by_pytorch]
    assert [hit.score for hit in by_graph] == pytest.approx([hit.score for hit in by_pytorch], abs=1e-2)


def test_a_machine_that_cannot_be_prepared_gets_its_index_all_the_same(e5_model, tmp_path, monkeypatch):
    from routeret.building import build_index

    (tmp_path / "docs.jsonl").write_text('{"id": "a", "text": "bank card"}\n', encoding="utf-8")
    (tmp_path / "file").write_text("no folder", encoding="utf-8")
    monkeypatch.setenv("ROUTERET_GRAPHS", str(tmp_path / "file" / "graphs"))
    corpus = [tmp_path / "docs.jsonl"]
    report = build_index(tmp_path / "kb", corpus, base=e5_model, device="cpu", prepare=True)
    assert (tmp_path / "kb").is_dir()
    assert "could not be made" in report.as_dict()["unprepared"]
    monkeypatch.setenv("ROUTERET_GRAPHS", "off")
    prepared = build_index(tmp_path / "other", corpus, base=e5_model, device="cpu", prepare=True)
    assert "unprepared" not in prepared.as_dict()


def test_a_query_that_comes_again_costs_no_pass(graphs, e5_model, monkeypatch):
    monkeypatch.setenv("ROUTERET_GRAPHS", str(graphs))
    encoder, without = OnnxEncoder(e5_model), OnnxEncoder(e5_model, kept_queries=0)
    first = encoder.encode_queries(TEXTS)

    def refuse(texts):
        raise AssertionError(f"{texts} were read again")

    for one in (encoder, without):
        monkeypatch.setattr(one.query_graph._tokens, "read", refuse)
    np.testing.assert_array_equal(encoder.encode_queries(TEXTS), first)
    with pytest.raises(AssertionError, match="were read again"):
        without.encode_queries(TEXTS)
