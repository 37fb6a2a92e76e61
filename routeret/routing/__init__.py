"""Which expert gets how much of a query: pilots, and the routers that learn from them."""

from routeret.routing.centroid import CentroidRouter
from routeret.routing.classifiers import ClassificationHeadRouter, ExpertClassifierRouter
from routeret.routing.dataset_router import DatasetRouter
from routeret.routing.decisions import Router, RoutingBatch
from routeret.routing.pilots import LEXICAL_WEIGHTS, STRENGTHS, PilotCorpus, PilotLibrary
from routeret.routing.settings import RouterSettings
from routeret.routing.utility import UtilityRouter

__all__ = [
    "LEXICAL_WEIGHTS",
    "STRENGTHS",
    "CentroidRouter",
    "ClassificationHeadRouter",
    "DatasetRouter",
    "ExpertClassifierRouter",
    "PilotCorpus",
    "PilotLibrary",
    "Router",
    "RouterSettings",
    "RoutingBatch",
    "UtilityRouter",
]
