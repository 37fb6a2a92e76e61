"""The stores by name."""

from routeret.benchmarks.stores.chroma import ChromaStore
from routeret.benchmarks.stores.flat import FlatStore
from routeret.benchmarks.stores.lance import LanceStore
from routeret.benchmarks.stores.ours import RouteretStore
from routeret.benchmarks.stores.store import BenchedStore

OURS = "routeret"

STORES: dict[str, type[BenchedStore]] = {
    OURS: RouteretStore,
    "flat": FlatStore,
    "lancedb": LanceStore,
    "chroma": ChromaStore,
}
"""This library's index and what is measured beside it."""
