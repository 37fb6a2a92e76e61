"""What is exported: a base's transformer, with room for low-rank adapters, and what follows it."""

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch

from routeret.encoders.adapted import adaptable_layers, transformer_of
from routeret.encoders.torch import TorchEncoder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class GraphModule(torch.nn.Module):
    """Token numbers to vectors; every adapted layer adds ((A x) * scale) B, see :mod:`.query_graph`.

    Attributes:
        layers: name, n_inputs and n_outputs of every layer that adapters may change.
    """

    def __init__(
        self, encoder: TorchEncoder, model: "SentenceTransformer", *, attention: Literal["eager", "sdpa"]
    ) -> None:
        """Change the model's layers.

        Args:
            encoder: made the model.
            model: of modules of its own; is changed.
            attention: written out as plain products, which an exported graph runs faster on few tokens, or fused.
        """
        super().__init__()
        transformer = transformer_of(model)
        transformer.config._attn_implementation = attention  # type: ignore[union-attr]
        self.model = model
        self._encoder = encoder
        self._given = _GivenMatrices()
        self.layers: list[tuple[str, int, int]] = []
        for place, name in enumerate(adaptable_layers(transformer)):
            parent_name, _, last = name.rpartition(".")
            parent = transformer.get_submodule(parent_name)
            layer: Any = getattr(parent, last)
            self.layers.append((name, layer.in_features, layer.out_features))
            setattr(parent, last, _AdaptableLayer(layer, self._given, place))

    def forward(
        self,
        tokens: Mapping[str, torch.Tensor],
        scale: torch.Tensor,
        down: Sequence[torch.Tensor],
        up: Sequence[torch.Tensor],
    ) -> torch.Tensor:
        """Vectors, float32, shape (n_texts, dim). Several threads may call it.

        Args:
            tokens: what the transformer reads, each of shape (n_texts, n_tokens).
            scale: of every row and rank, shape (n_texts, 1, n_ranks).
            down: A of every layer, shape (n_inputs, n_ranks).
            up: B of every layer, shape (n_ranks, n_outputs).
        """
        self._given.scale, self._given.down, self._given.up = scale, down, up
        states = transformer_of(self.model)(**tokens).last_hidden_state.float()
        features = {"token_embeddings": states, "attention_mask": tokens["attention_mask"]}
        return self._encoder.pooled(self.model, features)


class _GivenMatrices(threading.local):
    """What the layers of one call add; of every thread its own."""

    scale: torch.Tensor
    down: Sequence[torch.Tensor]
    up: Sequence[torch.Tensor]


class _AdaptableLayer(torch.nn.Module):
    """A linear layer with a low-rank change given at every call."""

    def __init__(self, layer: torch.nn.Module, given: _GivenMatrices, place: int) -> None:
        super().__init__()
        self.layer = layer
        self._given = given
        self._place = place

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        given = self._given
        lowered = torch.matmul(inputs, given.down[self._place]) * given.scale
        changed: torch.Tensor = self.layer(inputs) + torch.matmul(lowered, given.up[self._place])
        return changed
