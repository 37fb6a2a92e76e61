"""Text to vectors, whatever runs the arithmetic. Importing this loads no model and no heavy library."""

import re
from pathlib import Path
from typing import Any

from routeret.encoders.devices import runs_on_processor
from routeret.encoders.graph import OnnxEncoder, StackedEncoder
from routeret.encoders.hashing import HASHING_DIM, HashingEncoder
from routeret.encoders.resolve import DEFAULT_BASE, find_model
from routeret.encoders.torch import TorchEncoder
from routeret.errors import InputError
from routeret.optional import is_installed
from routeret.protocols import Encoder

__all__ = [
    "DEFAULT_BASE",
    "HashingEncoder",
    "OnnxEncoder",
    "StackedEncoder",
    "TorchEncoder",
    "find_model",
    "load_encoder",
    "named_encoder",
]

_HASHING = re.compile(r"hashing(?:-(\d+))?")


def load_encoder(
    model: str | Path | Encoder,
    *,
    device: str | None = None,
    download: bool = False,
) -> Encoder:
    """Give the encoder of a model; its weights are read when the first text is encoded.

    Args:
        model: a folder or the name of a model; ``"hashing"`` or ``"hashing-<dim>"`` for the one without a model; or
            an encoder, which comes back as it is.
        device: where a model runs, for example ``"cpu"`` or ``"cuda:1"``; None takes a CUDA device if there is one.
        download: fetch a model that is not on this machine from the hub.

    Raises:
        ModelNotFoundError: the model is nowhere on this machine.
        InputError: ``model`` is neither a name, a folder nor an encoder, or ``device`` is unknown.
    """
    if isinstance(model, str | Path):
        return named_encoder(model, device=device, download=download)
    if not isinstance(model, Encoder):
        raise InputError(f"found a {type(model).__name__}, expected a model's name, its folder or an encoder")
    return model


def named_encoder(
    model: str | Path,
    *,
    device: str | None = None,
    max_tokens: int | None = None,
    query_prompt: str | None = None,
    document_prompt: str | None = None,
    domain: str | None = None,
    download: bool = False,
) -> TorchEncoder | HashingEncoder:
    """Give the encoder of a model that can be named again, with settings of its own.

    On a processor it runs queries by a graph where one has been exported, see :class:`OnnxEncoder`; on a GPU it runs
    those of several adapters in one pass, see :class:`StackedEncoder`.

    Args:
        model: a folder or the name of a model; ``"hashing"`` or ``"hashing-<dim>"`` for the one without a model.
        device: where a model runs; None takes a CUDA device if there is one.
        max_tokens: longer texts are cut; None takes the model's limit.
        query_prompt: text put before every query; None takes the one that the model names.
        document_prompt: text put before every document; None takes the one that the model names.
        domain: one of the domains of a mixture of experts; None for any other model.
        download: fetch a model that is not on this machine from the hub.

    Raises:
        ModelNotFoundError: the model is nowhere on this machine.
        InputError: an argument is outside what the model or this machine offers.
    """
    if isinstance(model, str) and (match := _HASHING.fullmatch(model)):
        dim = int(match[1]) if match[1] else HASHING_DIM
        return HashingEncoder(dim, document_prompt=document_prompt or "", query_prompt=query_prompt or "")
    settings: dict[str, Any] = {
        "device": device,
        "max_tokens": max_tokens,
        "query_prompt": query_prompt,
        "document_prompt": document_prompt,
        "download": download,
    }
    if domain is None:
        if not runs_on_processor(device):
            return StackedEncoder(model, **settings)
        return OnnxEncoder(model, **settings) if is_installed("onnxruntime") else TorchEncoder(model, **settings)
    # Importing it loads PyTorch.
    from routeret.encoders.moe import MoeEncoder

    return MoeEncoder(model, domain=domain, **settings)
