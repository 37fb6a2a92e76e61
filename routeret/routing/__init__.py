"""Which expert gets how much of a query: pilots, and the routers that learn from them.

The public names below are loaded when they are first used: a search needs one router, not all.
"""

from typing import TYPE_CHECKING

from routeret.lazy_names import lazy_names

if TYPE_CHECKING:
    from routeret.routing.centroid import CentroidRouter as CentroidRouter
    from routeret.routing.classifiers import ClassificationHeadRouter as ClassificationHeadRouter
    from routeret.routing.classifiers import ExpertClassifierRouter as ExpertClassifierRouter
    from routeret.routing.constant import ConstantRouter as ConstantRouter
    from routeret.routing.dataset_router import DatasetRouter as DatasetRouter
    from routeret.routing.decisions import Router as Router
    from routeret.routing.decisions import RoutingBatch as RoutingBatch
    from routeret.routing.description import DescriptionRouter as DescriptionRouter
    from routeret.routing.nearest_pilot import NearestPilotRouter as NearestPilotRouter
    from routeret.routing.pilots import LEXICAL_WEIGHTS as LEXICAL_WEIGHTS
    from routeret.routing.pilots import STRENGTHS as STRENGTHS
    from routeret.routing.pilots import PilotCorpus as PilotCorpus
    from routeret.routing.pilots import PilotLibrary as PilotLibrary
    from routeret.routing.random_router import RandomRouter as RandomRouter
    from routeret.routing.registry import ROUTERS as ROUTERS
    from routeret.routing.registry import RouterInputs as RouterInputs
    from routeret.routing.registry import RouterKind as RouterKind
    from routeret.routing.registry import fit_router as fit_router
    from routeret.routing.settings import RouterSettings as RouterSettings
    from routeret.routing.stored_pilots import load_pilots as load_pilots
    from routeret.routing.stored_pilots import save_pilots as save_pilots
    from routeret.routing.two_step import TwoStepRouter as TwoStepRouter
    from routeret.routing.utility import UtilityRouter as UtilityRouter

_MODULE_BY_NAME = {
    "CentroidRouter": "routeret.routing.centroid",
    "ClassificationHeadRouter": "routeret.routing.classifiers",
    "ConstantRouter": "routeret.routing.constant",
    "DatasetRouter": "routeret.routing.dataset_router",
    "DescriptionRouter": "routeret.routing.description",
    "ExpertClassifierRouter": "routeret.routing.classifiers",
    "LEXICAL_WEIGHTS": "routeret.routing.pilots",
    "NearestPilotRouter": "routeret.routing.nearest_pilot",
    "PilotCorpus": "routeret.routing.pilots",
    "PilotLibrary": "routeret.routing.pilots",
    "ROUTERS": "routeret.routing.registry",
    "RandomRouter": "routeret.routing.random_router",
    "Router": "routeret.routing.decisions",
    "RouterInputs": "routeret.routing.registry",
    "RouterKind": "routeret.routing.registry",
    "RouterSettings": "routeret.routing.settings",
    "RoutingBatch": "routeret.routing.decisions",
    "STRENGTHS": "routeret.routing.pilots",
    "TwoStepRouter": "routeret.routing.two_step",
    "UtilityRouter": "routeret.routing.utility",
    "fit_router": "routeret.routing.registry",
    "load_pilots": "routeret.routing.stored_pilots",
    "save_pilots": "routeret.routing.stored_pilots",
}

__all__ = [
    "LEXICAL_WEIGHTS",
    "ROUTERS",
    "STRENGTHS",
    "CentroidRouter",
    "ClassificationHeadRouter",
    "ConstantRouter",
    "DatasetRouter",
    "DescriptionRouter",
    "ExpertClassifierRouter",
    "NearestPilotRouter",
    "PilotCorpus",
    "PilotLibrary",
    "RandomRouter",
    "Router",
    "RouterInputs",
    "RouterKind",
    "RouterSettings",
    "RoutingBatch",
    "TwoStepRouter",
    "UtilityRouter",
    "fit_router",
    "load_pilots",
    "save_pilots",
]

__getattr__ = lazy_names(__name__, _MODULE_BY_NAME)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
