"""The index measured: alone, and beside other stores on the same vectors and queries."""

from routeret.benchmarks.page import load_report, render
from routeret.benchmarks.running import bench_index

__all__ = ["bench_index", "load_report", "render"]
