"""The index and the queries measured: alone, and beside others on the same texts."""

from routeret.benchmarks.page import load_report, render
from routeret.benchmarks.queries.page import load_query_report, render_queries
from routeret.benchmarks.queries.running import bench_queries
from routeret.benchmarks.running import bench_index

__all__ = ["bench_index", "bench_queries", "load_query_report", "load_report", "render", "render_queries"]
