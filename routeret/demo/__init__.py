"""The main job on the data inside the package."""

from routeret.demo.report import DemoReport
from routeret.demo.running import run_demo

__all__ = ["DemoReport", "run_demo"]
