"""Which expert gets how much of a query: pilots, and the routers that learn from them."""

from routeret.routing.centroid import CentroidRouter
from routeret.routing.classifiers import ClassificationHeadRouter, ExpertClassifierRouter
from routeret.routing.constant import ConstantRouter
from routeret.routing.dataset_router import DatasetRouter
from routeret.routing.decisions import Router, RoutingBatch
from routeret.routing.description import DescriptionRouter
from routeret.routing.nearest_pilot import NearestPilotRouter
from routeret.routing.pilots import LEXICAL_WEIGHTS, STRENGTHS, PilotCorpus, PilotLibrary
from routeret.routing.random_router import RandomRouter
from routeret.routing.registry import ROUTERS, RouterInputs, RouterKind, fit_router
from routeret.routing.settings import RouterSettings
from routeret.routing.stored_pilots import load_pilots, save_pilots
from routeret.routing.two_step import TwoStepRouter
from routeret.routing.utility import UtilityRouter

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
