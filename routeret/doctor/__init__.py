"""How a pool of experts lives: what a query log tells of it."""

from routeret.doctor.diagnosing import diagnose
from routeret.doctor.diagnosis import Diagnosis, Drift, ExpertUse, Typical
from routeret.doctor.log import QueryLog, read_log
from routeret.doctor.plots import draw

__all__ = [
    "Diagnosis",
    "Drift",
    "ExpertUse",
    "QueryLog",
    "Typical",
    "diagnose",
    "draw",
    "read_log",
]
