"""From a dense encoder to one with experts for several domains, before any training."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from routeret.artifact import new_folder, write_json
from routeret.encoders.model_folder import ModelFolder, read_model_folder
from routeret.encoders.model_loading import without_bars
from routeret.encoders.moe.configuration import MoeConfig
from routeret.encoders.moe.modelling import MoeModel, layers_of
from routeret.encoders.torch import TorchEncoder
from routeret.errors import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_DOMAIN = re.compile(r"[a-z0-9_-]+")
_COPY = re.compile(r"\.(?:experts\.\d+|words)(?=\.(?:weight|bias)$)")
"""What the name of a copied weight has more than the name of the base's."""
_DOMAIN_TOKENS = re.compile(r"\.domains(?=\.weight$)")


def upcycle(
    base: str | Path,
    *,
    domains: Sequence[str],
    layers: Sequence[int] | None = None,
    out: str | Path,
    download: bool = False,
) -> Path:
    """Write a mixture-of-experts encoder whose every domain writes the vectors of a dense base.

    The feed-forward parts of the layers are copied for every domain, and every domain gets a token with the base's
    [CLS] embedding (arXiv 2401.15713, Methods). Attention, normalisation, word embeddings and what follows the
    transformer stay one for all domains.

    Args:
        base: a folder or the name of a sentence-transformers model, or of a plain transformer, which is mean-pooled.
        domains: names, each once, of a-z, 0-9, ``_`` and ``-``.
        layers: numbers of the layers that get experts, from 0; None takes all.
        out: the new folder, written whole or not at all; must not exist.
        download: fetch a base that is not on this machine from the hub.

    Returns:
        ``out``, a sentence-transformers folder with float32 weights as safetensors.

    Raises:
        ModelNotFoundError: the base is nowhere on this machine.
        InputError: a domain's name, a layer or the base's architecture is not what is expected.
        ArtifactError: the base's folder is damaged, or something is at ``out`` already.
    """
    names = _checked_domains(domains)
    encoder = TorchEncoder(base, device="cpu", download=download)
    with new_folder(Path(out)) as temporary:
        model = encoder.fresh_model()
        transformer: Any = model[0]
        if not hasattr(transformer, "auto_model"):
            raise InputError(f"{encoder.folder} has no transformer, so no layers to copy; choose another base model")
        first = _first_token(model.tokenizer, folder=encoder.folder)
        transformer.model = upcycled(transformer.auto_model, domains=names, layers=layers, first_token=first)
        _save(model, temporary, limits=read_model_folder(encoder.folder))
    return Path(out)


def _save(model: "SentenceTransformer", folder: Path, *, limits: ModelFolder) -> None:
    """Write the files, with the base's two token limits: the one it asks for, and the longest it can read."""
    model.max_seq_length = limits.token_ceiling
    with without_bars():
        model.save(str(folder), create_model_card=False, safe_serialization=True)
    settings = folder / "sentence_bert_config.json"
    write_json(settings, {**json.loads(settings.read_text(encoding="utf-8")), "max_seq_length": limits.max_tokens})


def upcycled(
    base: PreTrainedModel, *, domains: Sequence[str], layers: Sequence[int] | None = None, first_token: int
) -> MoeModel:
    """Give a mixture-of-experts model with copies of a dense model's weights.

    Args:
        base: stays as it is.
        domains: their names.
        layers: numbers of the layers that get experts, from 0; None takes all.
        first_token: the token that begins every text; its embedding seeds the domains' tokens.

    Raises:
        InputError: a layer or the base's architecture is not what is expected.
    """
    chosen = _checked_layers(layers, n_layers=len(layers_of(base)))
    described = type(base.config).from_dict(base.config.to_dict())
    # The whole model states the first; the second may be a path on this machine.
    described.dtype, described.name_or_path = None, ""
    config = MoeConfig(described, domains, chosen)
    # The random weights are all replaced, so the caller's random numbers stay as they would be.
    with torch.random.fork_rng(devices=[]):
        model = MoeModel(config)
    model.to(base.dtype)  # type: ignore[arg-type] # mypy takes it for a function
    dense = base.state_dict()
    seeds = [first_token] * len(config.domains)
    model.backbone.load_state_dict({name: _copy(name, dense, seeds=seeds) for name in model.backbone.state_dict()})
    model.train(mode=False)
    return model


def _copy(name: str, dense: Mapping[str, Tensor], *, seeds: list[int]) -> Tensor:
    """What the base has for a weight of the mixture; the domains' tokens are the embeddings of the seeds."""
    if _DOMAIN_TOKENS.search(name):
        return dense[_DOMAIN_TOKENS.sub("", name)][seeds]
    return dense[_COPY.sub("", name)]


def _checked_domains(domains: Sequence[str]) -> tuple[str, ...]:
    if isinstance(domains, str) or not domains or len(set(domains)) < len(domains):
        raise InputError(f"found domains {domains!r}, expected a list of at least one name, each once")
    for name in domains:
        if not _DOMAIN.fullmatch(name):
            raise InputError(f"found the domain name {name!r}, expected one or more of a-z, 0-9, '_' and '-'")
    return tuple(domains)


def _checked_layers(layers: Sequence[int] | None, *, n_layers: int) -> tuple[int, ...]:
    if layers is None:
        return tuple(range(n_layers))
    chosen = tuple(sorted(set(layers)))
    if not chosen or not 0 <= chosen[0] <= chosen[-1] < n_layers:
        raise InputError(f"found layers {list(layers)}, expected at least one of 0 to {n_layers - 1}")
    return chosen


def _first_token(tokenizer: Any, *, folder: Path) -> int:  # noqa: ANN401 - transformers has no types
    """The token that begins every text, whose place the domains' tokens take.

    Raises:
        InputError: texts begin with something else.
    """
    first: int | None = tokenizer.cls_token_id
    ids = tokenizer("")["input_ids"]
    if first is None or not ids or ids[0] != first or tokenizer.padding_side != "right":
        raise InputError(
            f"the tokenizer of {folder} does not begin every text with a token [CLS], which a domain's token would "
            "replace; choose another base model"
        )
    return first
