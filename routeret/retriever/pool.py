"""What answers queries together: a base encoder, experts in its space or their own, and the router over them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from routeret.errors import ArtifactError, SpaceMismatchError, UnknownExpertError
from routeret.experts import LinearExpert, TowerExpert, load_experts
from routeret.fusion import SpaceFusion
from routeret.protocols import Encoder, Expert
from routeret.retriever.known_documents import Knowledge
from routeret.routing import Router, UtilityRouter
from routeret.types import BASE, LEXICAL

DEFAULT_LEXICAL_WEIGHT = 0.2
"""What the best lexical score counts, in units of a cosine, where no router decides."""


@dataclass(frozen=True)
class Pool:
    """A base, its experts and their router.

    An expert either adapts queries in the base's space, or is a tower with a space of its own, in which the documents
    of the index have vectors too.

    Attributes:
        base: the base encoder.
        experts: in the order of the router's columns.
        router: None where there are no experts.
        lexical_weight: weight of the lexical score where no router decides it.
        space_fusion: how the scores of several spaces become one.
    """

    base: Encoder
    experts: tuple[Expert | TowerExpert, ...] = ()
    router: Router | None = None
    lexical_weight: float = DEFAULT_LEXICAL_WEIGHT
    space_fusion: SpaceFusion = "scores"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The experts' names, in order."""
        return tuple(expert.name for expert in self.experts)

    @cached_property
    def adapter_by_name(self) -> Mapping[str, Expert]:
        """The experts that write queries into the base's space, by name."""
        return {expert.name: expert for expert in self.experts if not isinstance(expert, TowerExpert)}

    @cached_property
    def costly(self) -> frozenset[str]:
        """The names of the experts that need a pass of an encoder of their own: all but the linear ones."""
        return frozenset(expert.name for expert in self.experts if not isinstance(expert, LinearExpert))

    @cached_property
    def knowledge(self) -> Knowledge:
        """Which documents the experts were trained over, laid out for looking them up in an index of the base."""
        return Knowledge(self.experts, self.base.space)

    @cached_property
    def tower_by_name(self) -> Mapping[str, TowerExpert]:
        """The experts with a space of their own, by name."""
        return {expert.name: expert for expert in self.experts if isinstance(expert, TowerExpert)}


def load_pool(
    base: Encoder,
    *,
    experts: Sequence[Path],
    router: Path | None,
    lexical_weight: float = DEFAULT_LEXICAL_WEIGHT,
    space_fusion: SpaceFusion = "scores",
    device: str | None = None,
) -> Pool:
    """Read experts and router from their folders.

    Args:
        base: the base encoder that they were trained on.
        experts: an expert's folder each.
        router: the router's folder.
        lexical_weight: weight of the lexical score where no router decides it.
        space_fusion: how the scores of several spaces become one.
        device: where models of the experts' own run; None takes that of the base.

    Raises:
        SpaceMismatchError: an expert writes into another space, or was trained on another query tower.
        ArtifactError: a folder is missing or damaged, or the router was fitted for other experts.
    """
    if not experts:
        return Pool(base, lexical_weight=lexical_weight, space_fusion=space_fusion)
    loaded = {expert.name: expert for expert in load_experts(experts, base=base, device=device)}
    for expert in loaded.values():
        require_fit(expert, base)
    if router is None:
        return Pool(base, tuple(loaded.values()), None, lexical_weight, space_fusion)
    fitted = UtilityRouter.load(router)
    if set(fitted.expert_names) != set(loaded):
        raise ArtifactError(
            f"{router} was fitted for experts {_listed(fitted.expert_names)}, the pool holds {_listed(tuple(loaded))}; "
            f"restore the folder from its source"
        )
    return Pool(base, tuple(loaded[name] for name in fitted.expert_names), fitted, lexical_weight, space_fusion)


def require_fit(expert: Expert | TowerExpert, base: Encoder) -> None:
    """Do nothing if an expert has a space of its own, or writes what the base writes, from what the base reads.

    Raises:
        SpaceMismatchError: an adapter has another space, or was trained on another query tower.
    """
    if isinstance(expert, TowerExpert):
        return
    base.space.require_same(expert.space, here="the base", there=f"expert {expert.name!r}")
    require_query_tower(base.query_tower, expert.query_tower, of=f"expert {expert.name!r}")


def require_query_tower(base: str, trained_on: str, *, of: str) -> None:
    """Do nothing if two query towers are the same.

    Raises:
        SpaceMismatchError: they are not.
    """
    if base != trained_on:
        raise SpaceMismatchError(
            f"the base has query tower {base}, {of} was made for {trained_on}: the query prompt or the query side's "
            f"weights have changed. The index is still good; open it with the base as it was, or train the experts "
            f"again on this one"
        )


def require_known(expert: str, names: Sequence[str]) -> None:
    """Do nothing if a name stands for an expert of a pool, the base or BM25.

    Raises:
        UnknownExpertError: it does not.
    """
    if expert not in (*names, BASE, LEXICAL):
        raise UnknownExpertError(f"unknown expert {expert!r}; there are {_listed((*names, BASE, LEXICAL))}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
