"""LoRA experts: what the adapted base writes, at which strength, and folders that keep it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from first_format import in_first_format

from routeret.encoders import HashingEncoder, TorchEncoder
from routeret.encoders.adapted import AdaptedQueries, adaptable_layers, add_adapter, transformer_of
from routeret.encoders.adapter import Adapter
from routeret.errors import ArtifactError, InputError, SpaceMismatchError
from routeret.experts import LoraExpert, load_expert
from routeret.protocols import Expert
from routeret.types import QueryBatch

TEXTS = ("bank card", "ü", "", "the river returns all of its water to the bank and pays a tax", "bank card")
RANK, ALPHA = 2, 6.0
BLOCK = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
LAYERS = tuple(
    f"encoder.layer.{number}.{name}" for number in (0, 1) for name in (*BLOCK, "intermediate.dense", "output.dense")
)


@pytest.fixture(scope="module")
def base(e5_model):
    return TorchEncoder(e5_model, device="cpu")


def adapter(base, *, scale=0.3, seed=0):
    """Matrices drawn by chance; with scale 0 every B is 0."""
    rng = np.random.default_rng(seed)
    modules = dict(transformer_of(base.fresh_model()).named_modules())
    weights = {}
    for name in LAYERS:
        linear = modules[name]
        weights[f"{name}.lora_A.weight"] = rng.normal(size=(RANK, linear.in_features)).astype(np.float32)
        weights[f"{name}.lora_B.weight"] = (scale * rng.normal(size=(linear.out_features, RANK))).astype(np.float32)
    return Adapter(rank=RANK, alpha=ALPHA, targets=LAYERS, weights=weights)


def expert(base, **changes):
    values = {
        "name": "law",
        "adapter": adapter(base),
        "strength": 0.5,
        "space": base.space,
        "query_tower": base.query_tower,
        "known_documents": np.array([7, 3, 7], dtype=np.uint64),
        "details": {"seed": 0},
    }
    return LoraExpert(**{**values, **changes})


def batch_of(base, texts=TEXTS):
    return QueryBatch(tuple(texts), base.encode_queries(list(texts)))


def strengths(*values):
    return np.array(values, dtype=np.float32)


# --- the adapter -----------------------------------------------------------------------------------------------------


def test_an_adapter_with_b_0_writes_what_the_base_writes_to_the_last_bit(base):
    written = AdaptedQueries(base, adapter(base, scale=0.0)).encode_queries(list(TEXTS))
    np.testing.assert_array_equal(written, base.encode_queries(list(TEXTS)))


def test_an_adapter_does_what_its_product_added_to_the_weights_does(base):
    one = adapter(base)
    merged = base.fresh_model()
    modules = dict(transformer_of(merged).named_modules())
    with torch.no_grad():
        for name in LAYERS:
            b, a = (one.weights[f"{name}.lora_{letter}.weight"].astype(np.float32) for letter in "BA")
            modules[name].weight += torch.from_numpy(ALPHA / RANK * b @ a)
    expected = base.encode_queries(list(TEXTS), model=merged)
    written = AdaptedQueries(base, one).encode_queries(list(TEXTS))
    np.testing.assert_allclose(written, expected, atol=1e-5)
    assert np.abs(written - base.encode_queries(list(TEXTS))).max() > 0.05


def test_the_adapted_model_shares_the_weights_of_the_base_and_leaves_it_as_it_is(base):
    before = base.encode_queries(list(TEXTS))
    adapted = AdaptedQueries(base, adapter(base))
    adapted.encode_queries(["bank"])
    own = {parameter.data_ptr() for parameter in base.model_sharing_weights().parameters()}
    inside = {name: parameter.data_ptr() for name, parameter in adapted._adapted().named_parameters()}
    assert all((".lora_" in name) == (pointer not in own) for name, pointer in inside.items())
    np.testing.assert_array_equal(base.encode_queries(list(TEXTS)), before)


def test_the_layers_are_those_of_attention_and_feed_forward(base):
    assert adaptable_layers(transformer_of(base.fresh_model())) == LAYERS


def test_layers_are_found_by_their_type_in_other_architectures():
    from transformers import MPNetConfig, MPNetModel

    config = MPNetConfig(vocab_size=9, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=12)
    found = adaptable_layers(MPNetModel(config))
    attention = ("attention.attn.q", "attention.attn.k", "attention.attn.v", "attention.attn.o")
    names = {f"encoder.layer.{number}.{name}" for number in (0, 1) for name in attention}
    names |= {f"encoder.layer.{number}.{name}.dense" for number in (0, 1) for name in ("intermediate", "output")}
    assert set(found) == names


def test_a_model_without_repeated_layers_cannot_be_adapted():
    with pytest.raises(InputError, match="Linear has no linear layers inside repeated blocks"):
        adaptable_layers(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match="begins with a ReLU, which has no layers to adapt"):
        transformer_of(torch.nn.Sequential(torch.nn.ReLU()))


def test_a_seed_fixes_a_new_adapter_and_leaves_chance_alone(base):
    drawn = []
    for seed in (3, 3, 4):
        state = torch.random.get_rng_state()
        transformer = transformer_of(base.fresh_model())
        add_adapter(transformer, rank=2, alpha=4.0, targets=LAYERS[:1], seed=seed)
        assert torch.equal(torch.random.get_rng_state(), state)
        drawn.append(dict(transformer.named_parameters())[f"{LAYERS[0]}.lora_A.default.weight"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def small(**changes):
    values = {
        "rank": 1,
        "alpha": 1.0,
        "targets": ("a",),
        "weights": {"a.lora_A.weight": np.ones((1, 3), np.float32), "a.lora_B.weight": np.ones((2, 1), np.float32)},
    }
    return Adapter(**{**values, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 0}, "rank 0"),
        ({"alpha": 0.0}, "alpha 0.0"),
        ({"targets": (), "weights": {}}, "0 layers"),
        ({"targets": ("a", "b")}, "'b.lora_A.weight' is missing"),
        ({"targets": ("b",)}, "'a.lora_A.weight' is of no layer"),
        ({"rank": 2}, r"lora_A.weight has shape \(1, 3\), expected a matrix of rank 2"),
    ],
)
def test_an_adapter_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        small(**changes)


@pytest.mark.parametrize("value", [np.nan, 1e6])
def test_an_adapter_that_is_not_finite_is_refused(value):
    weights = dict(small().weights)
    weights["a.lora_B.weight"] = np.full((2, 1), value, np.float32)
    with pytest.raises(InputError, match=r"a.lora_B.weight is not finite in float16"):
        small(weights=weights)


def test_an_adapter_is_kept_to_float16():
    weights = {name: matrix + np.float32(1e-5) for name, matrix in small().weights.items()}
    assert small(weights=weights).weights["a.lora_A.weight"].tolist() == [[1.0, 1.0, 1.0]]


def test_an_adapter_of_another_architecture_is_refused_at_the_first_query(base):
    with pytest.raises(InputError, match="has no layer 'a'"):
        AdaptedQueries(base, small()).encode_queries(["bank"])
    weights = {f"{LAYERS[0]}.lora_{letter}.weight": small().weights[f"a.lora_{letter}.weight"] for letter in "AB"}
    with pytest.raises(InputError, match="does not fit BertModel"):
        AdaptedQueries(base, small(targets=LAYERS[:1], weights=weights)).encode_queries(["bank"])


# --- the expert ------------------------------------------------------------------------------------------------------


def test_it_is_an_expert(base):
    assert isinstance(expert(base), Expert)


def test_the_strength_leads_from_the_base_to_the_adapted_base(base):
    one = expert(base).attached(base)
    batch = batch_of(base)
    adapted = one.tower.encode_queries(list(TEXTS))
    written = one.encode_queries(batch, strengths=strengths(0, 1, 0.5, 0.25, 2))
    np.testing.assert_array_equal(written[0], batch.base[0])
    np.testing.assert_allclose(written[1], adapted[1], atol=1e-6)
    for row, strength in ((2, 0.5), (3, 0.25), (4, 2)):
        mixed = (1 - strength) * batch.base[row].astype(np.float64) + strength * adapted[row]
        np.testing.assert_allclose(written[row], mixed / np.linalg.norm(mixed), atol=1e-6)
    assert written.dtype == np.float32


def test_a_query_at_strength_0_costs_no_pass(base):
    class Counting:
        asked: tuple = ()

        def encode_queries(self, texts):
            self.asked = tuple(texts)
            return base.encode_queries(texts)

    counting = Counting()
    one = expert(base, tower=counting)
    batch = batch_of(base)
    written = one.encode_queries(batch, strengths=strengths(0, 1, 0, 0, 0))
    assert counting.asked == ("ü",)
    np.testing.assert_allclose(written, batch.base, atol=1e-6)


def test_no_query_gives_no_vector(base):
    one = expert(base).attached(base)
    batch = QueryBatch((), np.zeros((0, base.dim), dtype=np.float32))
    assert one.encode_queries(batch, strengths=strengths()).shape == (0, base.dim)


def test_without_a_base_it_does_not_answer(base):
    with pytest.raises(InputError, match=r"'law' has no base to run in; give it one"):
        expert(base).encode_queries(batch_of(base), strengths=strengths(1, 1, 1, 1, 1))


def test_it_runs_in_the_base_that_it_was_trained_in_only(base, e5_model):
    with pytest.raises(InputError, match="found a HashingEncoder as the base"):
        expert(base).attached(HashingEncoder(32))
    with pytest.raises(SpaceMismatchError, match="max_tokens 12 against 16"):
        expert(base).attached(TorchEncoder(e5_model, device="cpu", max_tokens=12))
    other = TorchEncoder(e5_model, device="cpu", query_prompt="")
    with pytest.raises(SpaceMismatchError, match=f"query tower {other.query_tower}, .*{base.query_tower}"):
        expert(base).attached(other)


@pytest.mark.parametrize(
    ("values", "message"), [((1, 1), r"strengths have shape \(2,\)"), ((1, 1, 1, 1, -1), "expected at least 0")]
)
def test_strengths_must_fit(base, values, message):
    with pytest.raises(InputError, match=message):
        expert(base).attached(base).encode_queries(batch_of(base), strengths=strengths(*values))


@pytest.mark.parametrize("changes", [{"name": "Law"}, {"strength": 0.0}, {"strength": float("nan")}])
def test_what_cannot_be_applied_is_refused(base, changes):
    with pytest.raises(InputError):
        expert(base, **changes)


def test_several_threads_share_one_expert(base):
    fresh = TorchEncoder(base.folder, device="cpu")
    one = expert(fresh).attached(fresh)
    batch = batch_of(base)
    full = np.ones(len(TEXTS), dtype=np.float32)
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: one.encode_queries(batch, strengths=full), range(8)))
    again = expert(base).attached(base).encode_queries(batch, strengths=full)
    assert all(np.array_equal(vectors, again) for vectors in found)


# --- its folder ------------------------------------------------------------------------------------------------------


def test_a_saved_expert_answers_as_before(base, tmp_path):
    one = expert(base, details={"grün": [1, None]}).attached(base)
    one.save(tmp_path / "deep" / "law", beside=lambda folder: (folder / "note.txt").write_text("x"))
    again = load_expert(tmp_path / "deep" / "law", base=base)
    at = strengths(0.3, 1, 0.5, 0, 0.7)
    batch = batch_of(base)
    np.testing.assert_array_equal(again.encode_queries(batch, strengths=at), one.encode_queries(batch, strengths=at))
    assert (again.name, again.strength, again.space, again.query_tower) == ("law", 0.5, base.space, base.query_tower)
    assert again.known_documents.tolist() == [3, 7]
    assert again.details == {"grün": [1, None]}
    assert (again.adapter.rank, again.adapter.alpha, again.adapter.targets) == (RANK, ALPHA, tuple(sorted(LAYERS)))
    assert load_expert(tmp_path / "deep" / "law").tower is None


def test_a_folder_is_the_same_whenever_it_is_written(base, tmp_path):
    for name in ("a", "b"):
        expert(base).save(tmp_path / name)
    files = [sorted(path for path in (tmp_path / name).rglob("*") if path.is_file()) for name in ("a", "b")]
    assert [file.name for file in files[0]] == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "manifest.json",
        "sketch.safetensors",
    ]
    assert [file.read_bytes() for file in files[0]] == [file.read_bytes() for file in files[1]]


def test_a_folder_of_the_first_format_is_read(base, tmp_path):
    expert(base, known_documents=np.array([2**40 + 3, 7], dtype=np.uint64)).save(tmp_path / "law")
    in_first_format(tmp_path / "law", [7, 2**40 + 3])
    again = load_expert(tmp_path / "law", base=base)
    assert again.known_documents.tolist() == [3, 7]
    assert again.sketch is None


# peft asks transformers for a property by a name that transformers is about to drop.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_peft_opens_the_adapter_and_computes_the_same(base, tmp_path):
    from peft import PeftModel

    one = expert(base).attached(base)
    one.save(tmp_path / "law")
    model = base.fresh_model()
    first = model[0]
    opened = PeftModel.from_pretrained(first.auto_model, tmp_path / "law" / "adapter")
    features = model.preprocess(["query: bank card"])
    with torch.inference_mode():
        tokens = opened.eval()(**{name: features[name] for name in ("input_ids", "attention_mask")}).last_hidden_state
    pooled = tokens[0].mean(dim=0)
    expected = one.tower.encode_queries(["bank card"])[0]
    np.testing.assert_allclose(pooled / pooled.norm(), expected, atol=1e-5)


@pytest.mark.parametrize("name", ["adapter/adapter_model.safetensors", "sketch.safetensors"])
def test_damaged_files_are_named(base, tmp_path, name):
    expert(base).save(tmp_path / "law")
    file = tmp_path / "law" / name
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ArtifactError, match=f"{name} is damaged"):
        load_expert(tmp_path / "law")
    with pytest.raises(ArtifactError, match="law is damaged"):
        load_expert(tmp_path / "law", verify=False)
    file.unlink()
    with pytest.raises(ArtifactError, match="law is damaged"):
        load_expert(tmp_path / "law", verify=False)


def test_a_configuration_that_does_not_fit_the_matrices_is_refused(base, tmp_path):
    expert(base).save(tmp_path / "law")
    file = tmp_path / "law" / "adapter" / "adapter_config.json"
    file.write_text(file.read_text().replace('"r": 2', '"r": 3'))
    with pytest.raises(ArtifactError, match="expected a matrix of rank 3"):
        load_expert(tmp_path / "law", verify=False)


def test_details_that_are_not_json_leave_nothing_behind(base, tmp_path):
    with pytest.raises(InputError, match="not JSON"):
        expert(base, details={"a": {1}}).save(tmp_path / "law")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_read_without_peft_or_torch(base, tmp_path):
    expert(base).save(tmp_path / "law")
    code = (
        "import sys; from routeret.experts import load_expert; "
        f"load_expert({str(tmp_path / 'law')!r}); print('peft' in sys.modules, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
