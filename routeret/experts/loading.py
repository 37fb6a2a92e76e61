"""Experts from their folders, whatever their kind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from routeret.artifact import read_manifest
from routeret.encoders import TorchEncoder
from routeret.errors import ArtifactError, ModelNotFoundError
from routeret.experts.folder import FORMAT, KIND, OLDEST_FORMAT
from routeret.experts.linear import LinearExpert
from routeret.experts.lora import LoraExpert
from routeret.experts.tower import TowerExpert
from routeret.protocols import Encoder, Expert

if TYPE_CHECKING:
    from routeret.encoders.moe import MoeEncoder

_READER_BY_KIND: Mapping[str, Callable[[Path, Mapping[str, Any]], Expert | TowerExpert]] = {
    LinearExpert.kind: LinearExpert.from_folder,
    LoraExpert.kind: LoraExpert.from_folder,
    TowerExpert.kind: TowerExpert.from_folder,
}


def load_expert(
    folder: Path | str, *, base: Encoder | None = None, device: str | None = None, verify: bool = True
) -> Expert | TowerExpert:
    """The expert of a folder.

    Args:
        folder: an expert's folder, as its ``save`` or ``routeret train expert`` wrote it.
        base: the base encoder, for an expert that runs inside it, or on the same device; without it an expert that
            runs inside one can be looked at and copied, and answers once it is attached to one.
        device: where a model of the expert's own runs; None takes that of the base.
        verify: compare the checksum of every file.

    Raises:
        ArtifactError: the folder is no expert, is damaged, or holds a kind of expert that this version cannot read.
        InputError: the expert cannot run inside this base.
        SpaceMismatchError: the expert was trained in another base.
    """
    folder = Path(folder)
    manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, oldest=OLDEST_FORMAT, verify=verify)
    reader = _READER_BY_KIND.get(str(manifest.get("expert")))
    if reader is None:
        known = ", ".join(_READER_BY_KIND)
        raise ArtifactError(
            f"{folder} holds an expert of kind {manifest.get('expert')!r}, this version reads: {known}; it was written "
            f"by routeret {manifest.get('routeret', 'of an unknown version')}: open it with that version"
        )
    try:
        expert = reader(folder, manifest)
    except ModelNotFoundError as error:
        raise ModelNotFoundError(
            f"expert {manifest['name']!r} refers to a model that is gone: {error}. Bring it back, or remove the expert "
            f"from the index: routeret experts remove INDEX_FOLDER {manifest['name']}"
        ) from error
    if isinstance(expert, TowerExpert):
        if device is None and isinstance(base, TorchEncoder):
            device = base.device
        return expert.on(device)
    return expert.attached(base) if base is not None and isinstance(expert, LoraExpert) else expert


def load_experts(folders: Sequence[Path], *, base: Encoder, device: str | None = None) -> list[Expert | TowerExpert]:
    """The experts of a pool, in order; the domains of one mixture of experts share its weights in memory.

    Args:
        folders: an expert's folder each.
        base: the base encoder.
        device: where models of the experts' own run; None takes that of the base.

    Raises:
        ArtifactError: a folder is no expert, is damaged, or holds a kind of expert that this version cannot read.
        InputError: an expert cannot run inside this base.
        SpaceMismatchError: an expert was trained in another base.
    """
    mixtures: dict[tuple[Any, ...], MoeEncoder] = {}
    return [_sharing_weights(load_expert(folder, base=base, device=device), mixtures) for folder in folders]


def _sharing_weights(
    expert: Expert | TowerExpert, mixtures: dict[tuple[Any, ...], "MoeEncoder"]
) -> Expert | TowerExpert:
    """The same expert; a domain of a mixture that is loaded already runs on the weights of that one."""
    if not isinstance(expert, TowerExpert) or not isinstance(expert.encoder, TorchEncoder) or not expert.encoder.domain:
        return expert
    own = cast("MoeEncoder", expert.encoder)
    place = (own.folder, own.device, own.max_tokens, own.query_prompt, own.document_prompt)
    return replace(expert, encoder=mixtures.setdefault(place, own).in_domain(own.domain))
