"""Training experts, tuning one to an index, and building packs of them."""

from routeret.training.expert import train_expert
from routeret.training.expert_report import TrainReport
from routeret.training.pack import PackReport, build_pack
from routeret.training.pack_recipe import PackRecipe
from routeret.training.tuning import TuneOutcome, TuneReport, tune
from routeret.training.tuning_task import TuningTask

__all__ = [
    "PackRecipe",
    "PackReport",
    "TrainReport",
    "TuneOutcome",
    "TuneReport",
    "TuningTask",
    "build_pack",
    "train_expert",
    "tune",
]
