"""The index, its queries and its building measured: alone, and beside others on the same texts."""

from routeret.benchmarks.building.page import load_build_report, render_builds
from routeret.benchmarks.building.running import bench_builds
from routeret.benchmarks.page import load_report, render
from routeret.benchmarks.queries.page import load_query_report, render_queries
from routeret.benchmarks.queries.running import bench_queries
from routeret.benchmarks.running import bench_index

__all__ = [
    "bench_builds",
    "bench_index",
    "bench_queries",
    "load_build_report",
    "load_query_report",
    "load_report",
    "render",
    "render_builds",
    "render_queries",
]
