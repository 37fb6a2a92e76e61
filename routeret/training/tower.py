"""A text tower whose weights can change: texts in, vectors with gradients out."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.encoders import load_encoder
from routeret.encoders.adapted import transformer_of
from routeret.encoders.model_loading import without_bars
from routeret.encoders.torch import Precision, TorchEncoder
from routeret.errors import InputError, TrainingDivergedError
from routeret.experts.tower import TowerQueries
from routeret.protocols import Encoder
from routeret.space import NO_TOKEN_LIMIT
from routeret.types import FloatArray

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer

_TEXTS_AT_ONCE = 64
_TEXTS_PER_PASS = 16
"""On a processor a batch goes through the transformer in parts of like length, since padding costs what text costs."""


def trainable(base: str | Path | Encoder, *, device: str | None) -> TorchEncoder:
    """The encoder of a base, if a tower can be made of it.

    Args:
        base: by name or folder, or its encoder.
        device: where it runs.

    Raises:
        InputError: it is no PyTorch model.
        ModelNotFoundError: it is nowhere on this machine.
    """
    encoder = load_encoder(base, device=device)
    if not isinstance(encoder, TorchEncoder):
        raise InputError(f"the base is a {type(encoder).__name__}, expected a sentence-transformers model")
    return encoder


class Tower:
    """A copy of an encoder's model, with weights of its own, to be trained.

    The transformer computes in the encoder's precision, which is bfloat16 where the hardware has it unless the encoder
    was made with another; pooling and everything after it is float32. Queries are compared in float32, as an index
    compares them.
    """

    def __init__(
        self, encoder: TorchEncoder, *, max_tokens: int | None = None, model: "SentenceTransformer | None" = None
    ) -> None:
        """Load the model once more.

        Args:
            encoder: whose model to copy; it is not changed.
            max_tokens: longer texts are cut; None takes the encoder's limit.
            model: a copy that is there already, to be shared.
        """
        self._encoder = encoder
        self.model: SentenceTransformer = encoder.fresh_model(max_tokens=max_tokens) if model is None else model
        if self.model.device.type == "cpu":
            _use_plain_attention(self.model)

    def in_domain(self, domain: str) -> "Tower":
        """The same weights, writing for another domain of a mixture of experts.

        Raises:
            InputError: the model has no domains, or not this one.
        """
        from routeret.encoders.moe import MoeEncoder

        if not isinstance(self._encoder, MoeEncoder):
            raise InputError(f"{self._encoder.folder} is no mixture of experts, so it has no domain {domain!r}")
        return Tower(self._encoder.in_domain(domain), model=self.model)

    @property
    def query_prompt(self) -> str:
        """Text put before every query."""
        return self._encoder.query_prompt

    @property
    def document_prompt(self) -> str:
        """Text put before every document."""
        return self._encoder.document_prompt

    @property
    def transformer(self) -> "torch.nn.Module":
        """The transformer without pooling, to put adapters into.

        Raises:
            InputError: the model has none.
        """
        return transformer_of(self.model)

    def vectors(self, texts: Sequence[str], *, prompt: str = "", precision: Precision | None = None) -> "torch.Tensor":
        """Vectors of texts, float32, shape (n_texts, dim), with gradients; of length 1 where the space's are.

        Args:
            texts: any number, in passes of a size that suits the device.
            prompt: put before every text.
            precision: arithmetic of the transformer; None takes the encoder's.
        """
        import torch

        precision = precision or self._encoder.precision
        n_pass = _TEXTS_PER_PASS if self.model.device.type == "cpu" else len(texts)
        if len(texts) <= n_pass:
            return self._encoder.forward(self.model, list(texts), prompt=prompt, precision=precision)
        order = np.argsort([len(text) for text in texts], kind="stable")
        parts = [
            self._encoder.forward(
                self.model, [texts[row] for row in order[start : start + n_pass]], prompt=prompt, precision=precision
            )
            for start in range(0, len(texts), n_pass)
        ]
        return torch.cat(parts)[torch.from_numpy(np.argsort(order)).to(self.model.device)]

    def tokens(self, texts: Sequence[str], *, prompt: str = "") -> "tuple[torch.Tensor, torch.Tensor]":
        """Token vectors of texts, float32, shape (n_texts, most tokens, dim), with gradients, and which are tokens."""
        return self._encoder.forward_tokens(self.model, list(texts), prompt=prompt, precision=self._encoder.precision)

    def encode(self, texts: Sequence[str], *, prompt: str = "", precision: Precision | None = None) -> FloatArray:
        """Vectors of texts with the weights as they are now, float32, shape (n_texts, dim), without gradients.

        Args:
            texts: any number.
            prompt: put before every text.
            precision: arithmetic of the transformer; None takes the encoder's.

        Raises:
            TrainingDivergedError: a vector is not finite.
        """
        import torch

        vectors: FloatArray = np.zeros((len(texts), self._encoder.dim), dtype=np.float32)
        order = np.argsort([len(text) for text in texts], kind="stable")
        with self.judging(), torch.inference_mode():
            for start in range(0, len(texts), _TEXTS_AT_ONCE):
                rows = order[start : start + _TEXTS_AT_ONCE]
                part = self.vectors([texts[row] for row in rows], prompt=prompt, precision=precision)
                vectors[rows] = part.cpu().numpy()
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            raise TrainingDivergedError(
                f"the vectors of {len(broken)} of {len(texts)} texts, the first of them {texts[broken[0]][:80]!r}, are "
                f"not finite numbers"
            )
        return vectors

    def queries(self, texts: Sequence[str], *, interaction: float | None) -> TowerQueries:
        """Queries with the weights as they are now, as they are compared with documents.

        Args:
            texts: the queries; the encoder's prompt is put before each.
            interaction: temperature of the soft late interaction; None compares one vector a query.
        """
        if interaction is None:
            return TowerQueries(self.encode(texts, prompt=self._encoder.query_prompt, precision="float32"))
        with self.judging():
            tokens = self._encoder.encode_query_tokens(texts, model=self.model)
        return TowerQueries.of_tokens(tokens, space=self._encoder.space, temperature=interaction)

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Without dropout, and with the encoder's own token limit, inside the block: as an expert will be used."""
        modules: Any = list(self.model.modules())
        training, limit = [module for module in modules if module.training], self.model.max_seq_length
        self.model.eval()
        if self._encoder.max_tokens < NO_TOKEN_LIMIT:
            self.model.max_seq_length = self._encoder.max_tokens
        try:
            yield
        finally:
            self.model.max_seq_length = limit
            for module in training:
                module.training = True

    def take(self, weights: Mapping[str, FloatArray]) -> None:
        """Put trained weights, by the names of :meth:`parameters`, in place of the present ones."""
        import torch

        with torch.no_grad():
            for name, parameter in self.parameters().items():
                parameter.copy_(torch.from_numpy(weights[name]))

    def save(self, folder: Path) -> None:
        """Write the model as a new sentence-transformers folder, in safetensors, with the encoder's token limit."""
        with self.judging(), without_bars():
            self.model.save(str(folder), create_model_card=False)

    def parameters(self) -> dict[str, "torch.nn.Parameter"]:
        """What is trained, by name: every parameter that asks for a gradient."""
        named: Any = self.model.named_parameters()
        return {name: parameter for name, parameter in named if parameter.requires_grad}


def _use_plain_attention(model: "SentenceTransformer") -> None:
    """Compute attention step by step: on a processor the gradient of the fused form takes several times as long."""
    first: Any = model[0]
    transformer: Any = getattr(first, "auto_model", None)
    if hasattr(transformer, "set_attn_implementation"):
        transformer.set_attn_implementation("eager")
