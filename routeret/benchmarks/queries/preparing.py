"""Making the material of a run: an index with four pools, and queries for every measurement."""

from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from routeret.benchmarks.models.facts import ModelFacts
from routeret.benchmarks.queries.material import Material, write_material
from routeret.benchmarks.queries.measuring import BATCH
from routeret.benchmarks.queries.pools import AdapterMaker, copy_index, linear_experts, write_lora_twin, write_many
from routeret.benchmarks.queries.sides.registry import LORA, MANY, ROUTED, WITHOUT
from routeret.building import build_index
from routeret.datasets import Dataset
from routeret.encoders import OnnxEncoder, StackedEncoder, TorchEncoder
from routeret.encoders.devices import runs_on_processor
from routeret.errors import InputError
from routeret.index import Index
from routeret.packs import Pack, read_pack
from routeret.retriever.folder import Contents

N_BATCHES = 8
_N_FIRST, _N_PARTS = 20, 100
_BUILT = "index-built"


def base_of(pack: Pack, *, device: str) -> TorchEncoder:
    """The base of a pack on a device; on the processor its graph has been exported.

    Raises:
        InputError: its queries cannot be run by a graph here.
        ModelNotFoundError: it is nowhere on this machine.
    """
    if pack.base.startswith("hashing"):
        raise InputError(f"pack {pack.name!r} has the base {pack.base!r}, which is no model; give one with a model")
    if not runs_on_processor(device):
        return StackedEncoder(pack.base, device=device)
    encoder = OnnxEncoder(pack.base, device=device)
    if not encoder.prepare():
        raise InputError(
            f"the queries of {pack.base!r} cannot be run by a graph: exporting is switched off by ROUTERET_GRAPHS, or "
            f"the model has parts that none can hold"
        )
    return encoder


def make_material(
    folder: Path,
    datasets: Sequence[Dataset],
    *,
    pack: Pack,
    base: TorchEncoder,
    index: Path | None,
    n_queries: int,
    n_requests: int,
    seed: int,
    show_progress: bool = False,
) -> Material:
    """Write all that sides need.

    Args:
        folder: is there, and empty.
        datasets: whose queries are asked.
        pack: of linear experts.
        base: of the pack, on the device that all sides run on.
        index: holds the documents of the data sets, with ids ``<data set>/<id>``; None builds one.
        n_queries: how many are timed one by one.
        n_requests: how many several threads ask for.
        seed: decides which queries are taken.
        show_progress: draw a progress bar on stderr.

    Raises:
        InputError: the data sets hold too few queries, or an expert of the pack is not linear.
        SpaceMismatchError: the index is of another base.
    """
    texts = divide(datasets, n_queries=n_queries, n_requests=n_requests, seed=seed)
    linear_experts(pack)
    if index is None:
        index = folder / _BUILT
        sources = [dataset.folder for dataset in datasets]
        build_index(index, sources, pack=pack.folder, prefix_ids=True, device=base.device, show_progress=show_progress)
    Contents.read(index).space.require_same(pack.space, here=f"index {index.name!r}", there=f"pack {pack.name!r}")
    with Index.open(index) as opened:
        rows = opened.live_rows
        ids, vectors = opened.ids(opened.row_documents[rows]), opened.vectors(rows)
    material = write_material(folder, ModelFacts.of(base), texts=texts, ids=ids, vectors=vectors)
    maker = AdapterMaker.of(base)
    write_lora_twin(material.pack_folder(LORA), pack, maker)
    write_many(material.pack_folder(MANY), pack, maker)
    copy_index(index, material.index_folder(WITHOUT), None)
    copy_index(index, material.index_folder(ROUTED), pack)
    for name in (LORA, MANY):
        copy_index(index, material.index_folder(name), read_pack(material.pack_folder(name)))
    return material


def divide(datasets: Sequence[Dataset], *, n_queries: int, n_requests: int, seed: int) -> dict[str, list[str]]:
    """The queries of every measurement, of all splits; none is in two of them while there are enough.

    Returns:
        ``singles``; ``first``, which come before blocks and do not count; ``parts``; ``batches``; ``requests``. Where
        too few are left, those of the last ones come again.

    Raises:
        InputError: there are fewer than are timed one by one, and one more.
    """
    texts = list(dict.fromkeys(text for dataset in datasets for text in dataset.queries.values()))
    if len(texts) <= n_queries:
        raise InputError(
            f"the corpora hold {len(texts)} different queries, expected more than {n_queries}; give further corpora, "
            f"or fewer --queries"
        )
    order = np.random.default_rng(seed).permutation(len(texts)).tolist()
    left = [texts[number] for number in order]
    wanted = {
        "singles": n_queries,
        "first": _N_FIRST,
        "parts": min(_N_PARTS, n_queries),
        "batches": BATCH * N_BATCHES,
        "requests": n_requests,
    }
    found: dict[str, list[str]] = {}
    for name, count in wanted.items():
        found[name] = list(islice(cycle(left), count))
        left = left[count:] or left
    return found
