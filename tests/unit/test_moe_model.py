"""The mixture-of-experts transformer, on random models of two layers."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoConfig, AutoModel

from routeret.encoders.moe import MoeConfig, MoeModel
from routeret.encoders.moe.architectures import ARCHITECTURES, architecture_of
from routeret.encoders.moe.modelling import DomainLinear
from routeret.encoders.moe.upcycling import upcycled
from routeret.errors import InputError

FIRST = 2
DOMAINS = ("law", "river", "tax")
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
    "pad_token_id": 1,
}
OF_DISTILBERT = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48}


def tiny(model_type):
    sizes = {**SIZES, **(OF_DISTILBERT if model_type == "distilbert" else {})}
    if model_type == "distilbert":
        sizes = {key: value for key, value in sizes.items() if not key.startswith(("hidden_size", "num_", "inter"))}
    if model_type == "modernbert":
        sizes |= {"cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = AutoModel.from_config(AutoConfig.for_model(model_type, **sizes))
        for weights in model.parameters():
            # Biases and norms begin as zeros and ones, which would hide a weight that went to the wrong place.
            weights.data += torch.randn_like(weights) / 10
    return model.eval()


def trained(model, *, seed=1):
    """A copy whose experts and tokens differ between domains."""
    changed = copy.deepcopy(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, weights in changed.named_parameters():
            if ".experts." in name or name.endswith("domains.weight"):
                weights.data += torch.randn_like(weights) / 5
    return changed


def batch(n_texts, *, n_tokens=7):
    """Texts of random tokens; the last one, if there are several, is padded."""
    tokens = torch.randint(4, 40, (n_texts, n_tokens), generator=torch.Generator().manual_seed(n_texts))
    tokens[:, 0] = FIRST
    mask = torch.ones_like(tokens)
    if n_texts > 1:
        tokens[-1, 4:], mask[-1, 4:] = 1, 0
    return {"input_ids": tokens, "attention_mask": mask}


def vectors(model, inputs, numbers=None):
    routed = {} if numbers is None else {"domains": torch.tensor(numbers)}
    with torch.inference_mode():
        found = model(**inputs, **routed).last_hidden_state
    return found * inputs["attention_mask"].unsqueeze(-1)


def dense_twin(base, mixture, domain):
    """The base with one domain's weights in place of its own: what a separate model of that domain would be."""
    twin = copy.deepcopy(base)
    weights = mixture.backbone.state_dict()
    own = {}
    for name in twin.state_dict():
        owner, _, kind = name.rpartition(".")
        of_expert = f"{owner}.experts.{domain}.{kind}"
        of_words = f"{owner}.words.{kind}"
        own[name] = weights[next(one for one in (of_expert, of_words, name) if one in weights)].clone()
        if of_words in weights:
            own[name][FIRST] = weights[f"{owner}.domains.{kind}"][domain]
    twin.load_state_dict(own)
    return twin


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_before_training_every_domain_gives_what_the_base_gives(model_type):
    base = tiny(model_type)
    mixture = upcycled(base, domains=DOMAINS, first_token=FIRST)
    inputs = batch(5)
    expected = vectors(base, inputs)
    for number in range(len(DOMAINS)):
        assert torch.equal(vectors(mixture, inputs, [number] * 5), expected)
    torch.testing.assert_close(vectors(mixture, inputs, [2, 0, 1, 0, 2]), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_a_mixed_batch_gives_every_text_what_a_dense_model_of_its_domain_gives(model_type):
    base = tiny(model_type)
    mixture = trained(upcycled(base, domains=DOMAINS, first_token=FIRST))
    inputs = batch(6)
    numbers = [2, 0, 1, 0, 2, 2]
    found = vectors(mixture, inputs, numbers)
    for domain in range(len(DOMAINS)):
        rows = [row for row, number in enumerate(numbers) if number == domain]
        expected = vectors(dense_twin(base, mixture, domain), inputs)[rows]
        torch.testing.assert_close(found[rows], expected, rtol=1e-5, atol=1e-5)
    assert (found - vectors(base, inputs)).abs().max() > 0.1


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_what_is_saved_opens_with_transformers(model_type, tmp_path):
    mixture = trained(upcycled(tiny(model_type), domains=DOMAINS, layers=(1,), first_token=FIRST))
    mixture.save_pretrained(tmp_path)
    opened = AutoModel.from_pretrained(tmp_path)
    assert type(opened) is MoeModel
    assert (opened.config.domains, opened.config.layers) == (list(DOMAINS), [1])
    assert opened.config.base.model_type == model_type
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    inputs = batch(3)
    assert torch.equal(vectors(opened, inputs, [1, 0, 2]), vectors(mixture, inputs, [1, 0, 2]))


def test_every_row_is_computed_once():
    mixture = upcycled(tiny("bert"), domains=DOMAINS, first_token=FIRST)
    counts = []
    for layer in mixture.modules():
        if isinstance(layer, DomainLinear):
            for expert in layer.experts:
                expert.register_forward_hook(lambda _, given, __: counts.append(len(given[0])))
    vectors(mixture, batch(7), [2, 0, 2, 2, 0, 2, 2])
    # Two maps in each of two layers; the domain without texts computes nothing.
    assert counts == [2, 5] * 4


def test_experts_are_only_in_the_layers_asked_for():
    mixture = upcycled(tiny("bert"), domains=DOMAINS, layers=[1], first_token=FIRST)
    first, second = mixture.backbone.encoder.layer
    assert isinstance(first.intermediate.dense, torch.nn.Linear)
    assert isinstance(second.intermediate.dense, DomainLinear)
    assert isinstance(second.output.dense, DomainLinear)
    # 48 x 32 + 48 and 32 x 48 + 32 numbers twice more, and three tokens of 32.
    base = sum(weights.numel() for weights in tiny("bert").parameters())
    assert sum(weights.numel() for weights in mixture.parameters()) == base + 2 * (1584 + 1568) + 3 * 32


def test_only_the_domains_of_a_batch_learn():
    mixture = upcycled(tiny("mpnet"), domains=DOMAINS, first_token=FIRST)
    mixture(**batch(4), domains=torch.tensor([2, 0, 2, 0])).last_hidden_state.square().sum().backward()
    layer = mixture.backbone.encoder.layer[0].intermediate.dense
    learned = [expert.weight.grad is not None for expert in layer.experts]
    assert learned == [True, False, True]
    tokens = mixture.backbone.get_input_embeddings().domains.weight.grad
    assert (tokens.abs().sum(dim=1) > 0).tolist() == [True, False, True]


def test_gradients_are_those_of_the_texts_alone():
    mixture = trained(upcycled(tiny("bert"), domains=DOMAINS, first_token=FIRST))
    inputs, numbers = batch(4), [1, 0, 1, 2]
    mixture(**inputs, domains=torch.tensor(numbers)).last_hidden_state.pow(3).sum().backward()
    together = {name: one.grad.clone() for name, one in mixture.named_parameters() if one.grad is not None}
    mixture.zero_grad()
    for row, number in enumerate(numbers):
        alone = {name: value[row : row + 1] for name, value in inputs.items()}
        mixture(**alone, domains=torch.tensor([number])).last_hidden_state.pow(3).sum().backward()
    assert len(together) > 30
    for name, one in mixture.named_parameters():
        if name in together:
            torch.testing.assert_close(one.grad, together[name], rtol=1e-4, atol=1e-3)


def test_everything_that_the_base_gives_comes_in_the_order_of_the_texts():
    base = tiny("bert")
    mixture = upcycled(base, domains=DOMAINS, first_token=FIRST)
    inputs = batch(3)
    with torch.inference_mode():
        expected = base(**inputs, output_hidden_states=True)
        found = mixture(**inputs, domains=torch.tensor([1, 0, 1]), output_hidden_states=True)
        plain = mixture(**inputs, domains=torch.tensor([1, 0, 1]), return_dict=False)
    torch.testing.assert_close(found.pooler_output, expected.pooler_output, rtol=0, atol=1e-6)
    assert len(found.hidden_states) == len(expected.hidden_states) == 3
    for one, other in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert torch.equal(plain[0], found.last_hidden_state)


def test_token_types_reach_only_a_base_that_knows_them():
    inputs = batch(2)
    types = torch.ones_like(inputs["input_ids"])
    for model_type, differ in (("bert", True), ("modernbert", False), ("distilbert", False)):
        mixture = upcycled(tiny(model_type), domains=DOMAINS, first_token=FIRST)
        with_types = vectors(mixture, {**inputs, "token_type_ids": types}, [0, 1])
        assert torch.equal(with_types, vectors(mixture, inputs, [0, 1])) is not differ


def test_threads_share_a_model_without_mixing_their_domains():
    mixture = trained(upcycled(tiny("bert"), domains=DOMAINS, first_token=FIRST))
    inputs = batch(3)
    wanted = {number: vectors(mixture, inputs, [number] * 3) for number in range(3)}
    turns = [turn % 3 for turn in range(60)]
    with ThreadPoolExecutor(3) as threads:
        found = list(threads.map(lambda number: vectors(mixture, inputs, [number] * 3), turns))
    assert all(torch.equal(one, wanted[number]) for one, number in zip(found, turns, strict=True))


def test_making_a_model_leaves_random_numbers_and_the_base_alone():
    base = tiny("roberta")
    before = copy.deepcopy(base.state_dict())
    torch.manual_seed(3)
    upcycled(base, domains=DOMAINS, first_token=FIRST)
    after = torch.rand(1)
    torch.manual_seed(3)
    assert torch.equal(after, torch.rand(1))
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())


def test_half_precision_stays():
    mixture = upcycled(tiny("bert").to(torch.bfloat16), domains=DOMAINS, first_token=FIRST)
    assert {weights.dtype for weights in mixture.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (None, "no domains were given, expected the number of one for every text: 0 for 'law', 1 for 'river'"),
        ([0], "found 1 domains for 2 texts"),
        ([0, 3], "found domain 3, expected 0 for 'law'"),
        ([-1, 0], "found domain -1"),
    ],
)
def test_domains_that_do_not_fit_are_refused(numbers, message):
    mixture = upcycled(tiny("bert"), domains=DOMAINS, first_token=FIRST)
    with pytest.raises(InputError, match=message):
        vectors(mixture, batch(2), numbers)


def test_a_layer_alone_knows_no_domain():
    mixture = upcycled(tiny("bert"), domains=DOMAINS, first_token=FIRST)
    with pytest.raises(InputError, match="call the whole model"):
        mixture.backbone(**batch(1))
    with pytest.raises(ValueError, match="checkpointing"):
        mixture.activation_checkpointing_enable()


def test_an_unknown_architecture_names_the_known():
    with pytest.raises(InputError, match=r"architecture 'albert', expected one of bert, camembert.*; choose another"):
        architecture_of("albert")


@pytest.mark.parametrize("layers", [(), (2,), (-1, 0)])
def test_layers_that_the_base_lacks_are_refused(layers):
    with pytest.raises(InputError, match="expected at least one of 0 to 1"):
        upcycled(tiny("bert"), domains=DOMAINS, layers=layers, first_token=FIRST)


def test_a_configuration_without_domains_makes_no_model():
    config = tiny("bert").config
    with pytest.raises(InputError, match="found 0 domains"):
        MoeModel(MoeConfig(config, (), (0,)))
    with pytest.raises(InputError, match="layers of 0 to 1"):
        MoeModel(MoeConfig(config, DOMAINS, (5,)))
    with pytest.raises(InputError, match="without a base"):
        MoeModel(MoeConfig())
