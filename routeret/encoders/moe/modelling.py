"""A transformer whose feed-forward parts and first token are chosen by the domain of every text."""

import inspect
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from routeret.encoders.moe.architectures import architecture_of
from routeret.encoders.moe.configuration import MoeConfig
from routeret.errors import InputError


@dataclass(frozen=True, slots=True)
class _Routing:
    """The domains of the batch at work, whose rows are grouped by domain.

    Attributes:
        domains: the domain of every row, ascending, int64, shape (n_rows,).
        groups: number and rows of every domain that has rows, in their order.
    """

    domains: Tensor
    groups: tuple[tuple[int, int], ...]


# The layers between the model and its experts hand on no arguments of ours. A context variable rather than an
# attribute, since several threads may run one model.
_ROUTING: ContextVar[_Routing] = ContextVar("routeret_moe_routing")


def _routing() -> _Routing:
    try:
        return _ROUTING.get()
    except LookupError as error:
        raise InputError(
            "a layer with experts ran outside MoeModel.forward, where no domain is known; call the whole model, and "
            "train it without gradient checkpointing"
        ) from error


class DomainLinear(nn.Module):
    """A linear map of its own for every domain."""

    def __init__(self, linear: nn.Linear, *, n_domains: int) -> None:
        """Make room for the weights of every domain.

        Args:
            linear: gives the sizes.
            n_domains: at least 1.
        """
        super().__init__()
        sizes = (linear.in_features, linear.out_features, linear.bias is not None)
        self.experts = nn.ModuleList(nn.Linear(*sizes) for _ in range(n_domains))

    def forward(self, rows: Tensor) -> Tensor:
        """Map every row by its domain's weights.

        Args:
            rows: shape (n_rows, ..., in_features), grouped by domain.

        Returns:
            Shape (n_rows, ..., out_features), in the same order.
        """
        groups = _routing().groups
        if len(groups) == 1:
            mapped: Tensor = self.experts[groups[0][0]](rows)
            return mapped
        parts = torch.split(rows, [n_rows for _, n_rows in groups])
        return torch.cat([self.experts[domain](part) for (domain, _), part in zip(groups, parts, strict=True)])


class DomainEmbedding(nn.Module):
    """Word embeddings, with the domain's token in the place of the first."""

    def __init__(self, words: nn.Embedding, *, n_domains: int) -> None:
        """Add a token for every domain.

        Args:
            words: the table of the vocabulary.
            n_domains: at least 1.
        """
        super().__init__()
        self.words = words
        self.domains = nn.Embedding(n_domains, words.embedding_dim)

    def forward(self, input_ids: Tensor) -> Tensor:
        """Vectors of shape (n_rows, n_tokens, width) for ids of shape (n_rows, n_tokens)."""
        first = self.domains(_routing().domains).unsqueeze(1)
        return torch.cat([first, self.words(input_ids[:, 1:])], dim=1)


class MoeModel(PreTrainedModel):  # type: ignore[no-untyped-call] # of transformers
    """A dense model some of whose feed-forward parts exist once for every domain (arXiv 2401.15713, Methods).

    Routing is enforced: every text comes with its domain, which chooses the experts and the token at position 0.
    One batch may mix domains; its rows are grouped by domain, so that each is computed once.
    """

    config_class = MoeConfig
    supports_gradient_checkpointing = False  # a layer that runs again during the backward pass knows no domain

    def __init__(self, config: MoeConfig) -> None:
        """Make a model with random weights; ``from_pretrained`` fills them.

        Raises:
            InputError: there is no base or its architecture is unknown, no domains, or layers that the base lacks.
        """
        if config.base is None:
            raise InputError("found a configuration without a base, expected that of a dense model")
        super().__init__(config)
        self.backbone: PreTrainedModel = AutoModel.from_config(config.base)  # type: ignore[no-untyped-call]
        _add_experts(self.backbone, domains=config.domains, numbers=config.layers)
        # Some tokenizers tell token types to models that know none.
        self._has_token_types = "token_type_ids" in inspect.signature(self.backbone.forward).parameters
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        domains: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool = True,
    ) -> BaseModelOutput:
        """Vectors of the tokens of every text, by its domain.

        Args:
            input_ids: shape (n_texts, n_tokens); the first token of every text is replaced by its domain's.
            attention_mask: of the same shape, 0 where a text is padded.
            token_type_ids: of the same shape; left out where the base knows none.
            domains: the number of every text's domain, int64, shape (n_texts,).
            output_hidden_states: give the vectors after every layer too.
            return_dict: give names to what comes back; without it comes a tuple.

        Returns:
            What the base gives for texts: ``last_hidden_state`` of shape (n_texts, n_tokens, width), in the order of
            the texts, and whatever else the base adds.

        Raises:
            InputError: ``domains`` is missing, or does not hold one known domain for every text.
        """
        numbers = self._checked(domains, n_texts=len(input_ids))
        order = sorted(range(len(numbers)), key=numbers.__getitem__)
        is_grouped = order == list(range(len(numbers)))
        rows = torch.tensor(order, device=input_ids.device)
        given = {"input_ids": input_ids, "attention_mask": attention_mask}
        if self._has_token_types:
            given["token_type_ids"] = token_type_ids
        inputs: dict[str, Any] = {
            name: value if is_grouped else value[rows] for name, value in given.items() if value is not None
        }
        if output_hidden_states is not None:
            inputs["output_hidden_states"] = output_hidden_states
        token = _ROUTING.set(_grouped([numbers[row] for row in order], device=input_ids.device))
        try:
            output: Any = self.backbone(**inputs)
        finally:
            _ROUTING.reset(token)
        if not is_grouped:
            back = rows.argsort()
            output = type(output)(**{name: _taken(value, back) for name, value in output.items()})
        given_back: BaseModelOutput = output if return_dict else output.to_tuple()
        return given_back

    def _checked(self, domains: Tensor | None, *, n_texts: int) -> list[int]:
        names = self.config.domains
        known = ", ".join(f"{number} for {name!r}" for number, name in enumerate(names))
        if domains is None:
            raise InputError(f"no domains were given, expected the number of one for every text: {known}")
        numbers: list[int] = domains.tolist()
        if len(numbers) != n_texts:
            raise InputError(f"found {len(numbers)} domains for {n_texts} texts, expected one for every text")
        unknown = sorted({number for number in numbers if not 0 <= number < len(names)})
        if unknown:
            raise InputError(f"found domain {unknown[0]}, expected {known}")
        return numbers


def _grouped(numbers: Sequence[int], *, device: torch.device) -> _Routing:
    """The routing of rows whose domains ascend."""
    groups = tuple((domain, numbers.count(domain)) for domain in dict.fromkeys(numbers))
    return _Routing(torch.tensor(numbers, device=device), groups)


def _taken(value: Any, rows: Tensor) -> Any:  # noqa: ANN401 - outputs are tensors and tuples of tensors
    return tuple(one[rows] for one in value) if isinstance(value, tuple) else value[rows]


def layers_of(backbone: PreTrainedModel) -> nn.ModuleList:
    """Give the layers of a dense model.

    Raises:
        InputError: its architecture is unknown.
    """
    return cast(nn.ModuleList, backbone.get_submodule(architecture_of(backbone.config.model_type).layers))


def _add_experts(backbone: PreTrainedModel, *, domains: Sequence[str], numbers: Sequence[int]) -> None:
    """Give the layers of these numbers one feed-forward part for every domain, and the input a token for each."""
    layers = layers_of(backbone)
    if not domains or not numbers or not all(0 <= number < len(layers) for number in numbers):
        raise InputError(
            f"found {len(domains)} domains in layers {list(numbers)}, expected at least one domain, and layers of "
            f"0 to {len(layers) - 1}"
        )
    for number in numbers:
        for path in architecture_of(backbone.config.model_type).feed_forward:
            owner, _, name = path.rpartition(".")
            parent = layers[number].get_submodule(owner)
            setattr(parent, name, DomainLinear(getattr(parent, name), n_domains=len(domains)))
    words = cast(nn.Embedding, backbone.get_input_embeddings())
    backbone.set_input_embeddings(DomainEmbedding(words, n_domains=len(domains)))
