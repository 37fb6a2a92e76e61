"""Low-rank adapters (LoRA) inside a base model: where they go, and queries that pass through them."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from routeret.encoders.adapter import Adapter
from routeret.encoders.inputs import checked_texts
from routeret.encoders.torch import TorchEncoder
from routeret.errors import InputError
from routeret.half_precision import in_single_precision
from routeret.types import FloatArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

    from routeret.encoders.graph.query_graph import QueryGraph


class AdaptedQueries:
    """The query tower of a base with an adapter in it; shares all weights but the adapter's with the base.

    Nothing is loaded before the first query. Several threads may share one.
    """

    def __init__(self, base: TorchEncoder, adapter: Adapter) -> None:
        """Keep both.

        Args:
            base: the encoder that the adapter was trained in; it answers as before.
            adapter: what is added to its layers.
        """
        self._base = base
        self._adapter = adapter
        self._model: SentenceTransformer | None = None
        self._loading = threading.Lock()

    @property
    def base(self) -> TorchEncoder:
        """The encoder without the adapter."""
        return self._base

    @property
    def graph(self) -> "QueryGraph | None":
        """What runs the queries, together with those of other adapters of the base; None where PyTorch does."""
        return self._base.query_graph

    def encode_queries(self, texts: Sequence[str]) -> FloatArray:
        """Vectors of the queries, float32, shape (n_queries, dim), in their order; computed as the base does.

        Raises:
            InputError: something other than a list of strings came, or the adapter does not fit the base's layers.
        """
        graph = self._base.query_graph
        if graph is not None:
            queries = checked_texts(texts)
            return graph.vectors(queries, adapters=[self._adapter] * len(queries))
        return self._base.encode_queries(texts, model=self._adapted())

    def _adapted(self) -> "SentenceTransformer":
        with self._loading:
            if self._model is None:
                model = self._base.model_sharing_weights()
                put_adapter(transformer_of(model), self._adapter)
                self._model = model.eval()
            return self._model


def transformer_of(model: "SentenceTransformer") -> "torch.nn.Module":
    """The transformer of a model, without pooling and what follows it.

    Raises:
        InputError: the model has none.
    """
    first: Any = model[0]
    module: torch.nn.Module | None = getattr(first, "auto_model", None)
    if module is None:
        raise InputError(
            f"the model begins with a {type(first).__name__}, which has no layers to adapt; expected a transformer"
        )
    return module


def adaptable_layers(transformer: "torch.nn.Module") -> tuple[str, ...]:
    """Names of all linear layers of attention and feed-forward, found by their type inside the repeated blocks.

    Raises:
        InputError: there is none.
    """
    import torch

    modules = dict(transformer.named_modules())
    blocks = tuple(f"{name}." for name, module in modules.items() if isinstance(module, torch.nn.ModuleList))
    found = tuple(
        name for name, module in modules.items() if isinstance(module, torch.nn.Linear) and name.startswith(blocks)
    )
    if not blocks or not found:
        raise InputError(
            f"{type(transformer).__name__} has no linear layers inside repeated blocks; expected a transformer of the "
            f"kind of BERT or MPNet"
        )
    return found


def add_adapter(
    transformer: "torch.nn.Module",
    *,
    rank: int,
    alpha: float,
    targets: Sequence[str],
    dropout: float = 0.0,
    seed: int = 0,
) -> None:
    """Put a new adapter into a transformer; B is 0, so nothing changes yet. Only the adapter asks for gradients.

    Args:
        transformer: is changed.
        rank: of the change.
        alpha: the change is scaled by alpha / rank.
        targets: names of layers.
        dropout: of what the adapter reads, while training.
        seed: of the draw of every A.

    Raises:
        InputError: a layer is missing.
    """
    import torch
    from peft import LoraConfig, inject_adapter_in_model

    if missing := sorted(set(targets) - {name for name, _ in transformer.named_modules()}):
        raise InputError(
            f"{type(transformer).__name__} has no layer {missing[0]!r}, which the adapter changes; use the base model "
            f"that it was trained in"
        )
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=sorted(targets), lora_dropout=dropout)  # type: ignore[arg-type] # alpha may be any number
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inject_adapter_in_model(config, transformer)
    # New modules are made for training, whatever the others are in.
    transformer.train(transformer.training)


def put_adapter(transformer: "torch.nn.Module", adapter: Adapter) -> None:
    """Put a trained adapter into a transformer.

    Raises:
        InputError: the transformer lacks a layer, or it has another size.
    """
    import torch
    from peft import set_peft_model_state_dict

    add_adapter(transformer, rank=adapter.rank, alpha=adapter.alpha, targets=adapter.targets)
    tensors = {name: torch.from_numpy(in_single_precision(matrix)) for name, matrix in adapter.weights.items()}
    try:
        set_peft_model_state_dict(transformer, tensors)
    except RuntimeError as error:
        raise InputError(f"the adapter does not fit {type(transformer).__name__}: {error}") from error


def adapter_weights(transformer: "torch.nn.Module") -> dict[str, FloatArray]:
    """The adapter's matrices as they are now, by the names of :class:`Adapter`; copies."""
    from peft import get_peft_model_state_dict

    return {
        name: tensor.detach().float().cpu().numpy().copy()
        for name, tensor in get_peft_model_state_dict(transformer).items()
    }
