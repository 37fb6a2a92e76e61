"""All routers that ours is compared with, by name: what each is, and how it is fitted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from routeret.errors import InputError
from routeret.protocols import Encoder, PoolMember
from routeret.routing.centroid import CentroidRouter
from routeret.routing.classifiers import ClassificationHeadRouter, ExpertClassifierRouter
from routeret.routing.constant import ConstantRouter
from routeret.routing.dataset_router import DatasetRouter
from routeret.routing.decisions import Router
from routeret.routing.description import DescriptionRouter
from routeret.routing.nearest_pilot import NearestPilotRouter
from routeret.routing.pilots import PilotLibrary
from routeret.routing.random_router import RandomRouter
from routeret.routing.two_step import TwoStepRouter
from routeret.types import BASE

MULTITASK = "multitask"
"""The name of the expert that was trained on all sets."""

KMEANS_CENTROIDS = 5
"""How many centroids a group of pilots gets in ``centroid_kmeans``."""


@dataclass(frozen=True, slots=True)
class RouterInputs:
    """What a router may be fitted from; each takes what it needs.

    Attributes:
        library: the pilots; one without corpora where there are none.
        experts: the pool.
        base: the encoder that the experts stand beside.
        corpus: the training corpus that the index is known to hold; empty where nobody knows.
        seed: of whatever is drawn.
    """

    library: PilotLibrary
    experts: Sequence[PoolMember]
    base: Encoder
    corpus: str = ""
    seed: int = 0


@dataclass(frozen=True, slots=True)
class RouterKind:
    """One kind of router.

    Attributes:
        summary: what it is, in a line.
        fit: makes one; raises :class:`~routeret.errors.InputError` where the inputs lack what it needs.
    """

    summary: str
    fit: Callable[[RouterInputs], Router]


ROUTERS: Mapping[str, RouterKind] = MappingProxyType(
    {
        "centroid": RouterKind(
            "RouterRetriever's router: the expert whose pilot centroids are nearest on the mean",
            lambda given: CentroidRouter.fit(given.library, given.experts),
        ),
        "centroid_max": RouterKind(
            "the expert of the nearest pilot centroid, as in RouterRetriever's released code",
            lambda given: CentroidRouter.fit(given.library, given.experts, pool="max"),
        ),
        "centroid_kmeans": RouterKind(
            f"RouterRetriever's router with {KMEANS_CENTROIDS} centroids a group of pilots, by k-means",
            lambda given: CentroidRouter.fit(
                given.library, given.experts, n_centroids=KMEANS_CENTROIDS, seed=given.seed
            ),
        ),
        "nearest_pilot": RouterKind(
            "the expert that gains most on the mean of the 10 nearest pilots, or the base if none gains",
            lambda given: NearestPilotRouter.fit(given.library, given.experts),
        ),
        "dataset_router": RouterKind(
            "the expert of the training set to whose sample queries, up to 100, the query is nearest",
            lambda given: DatasetRouter.fit(given.library, given.experts, seed=given.seed),
        ),
        "classifier_head": RouterKind(
            "the expert that one classifier over all experts picks",
            lambda given: ClassificationHeadRouter.fit(given.library, given.experts),
        ),
        "expert_classifiers": RouterKind(
            "the expert whose own classifier is surest that it does best",
            lambda given: ExpertClassifierRouter.fit(given.library, given.experts),
        ),
        "two_step": RouterKind(
            "the best expert and strength of the likeliest training corpus, or the base if none gains there",
            lambda given: TwoStepRouter.fit(given.library, given.experts),
        ),
        "description": RouterKind(
            "the expert whose description in words is most similar to the query; needs no pilots",
            lambda given: DescriptionRouter.fit(given.experts, base=given.base),
        ),
        "random": RouterKind(
            "an expert or the base by lot",
            lambda given: RandomRouter.fit(given.experts, seed=given.seed),
        ),
        "best_single": RouterKind(
            "for every query the one expert and strength that gains most over all training corpora, or the base",
            lambda given: ConstantRouter.best_single(given.library, given.experts),
        ),
        MULTITASK: RouterKind(
            "the expert that was trained on all sets",
            lambda given: ConstantRouter.mixed(given.experts, weights={MULTITASK: 1.0}),
        ),
        "average": RouterKind(
            "mean of base and multi-task query vectors",
            lambda given: ConstantRouter.mixed(given.experts, weights={BASE: 0.5, MULTITASK: 0.5}),
        ),
        "uniform": RouterKind(
            "mean of base and all experts",
            lambda given: ConstantRouter.uniform(given.experts),
        ),
        "known_index_expert": RouterKind(
            "the one expert and strength that gains most on the set's own pilots, or the base; none without pilots",
            lambda given: ConstantRouter.best_on(given.library, given.experts, corpus=given.corpus),
        ),
    }
)
"""By name, in the order of the tables."""


def fit_router(name: str, inputs: RouterInputs) -> Router:
    """A router of a name.

    Args:
        name: one of :data:`ROUTERS`.
        inputs: what it is fitted from.

    Raises:
        InputError: there is no such router, or the inputs lack what it needs.
    """
    if name not in ROUTERS:
        raise InputError(f"unknown router {name!r}; there are {', '.join(ROUTERS)}")
    return ROUTERS[name].fit(inputs)
