"""Where does the time of one query's pass go, and what would two cores change?

    python eval/pass_study.py --out eval/results/query/pass.json

*Operations*: the pass of a text in 8-bit numbers is profiled by ONNX Runtime; an operation's time is that of its
kernel, which profiling lengthens somewhat. *Weights*: the products in bytes of the sizes that the graph has are run
apart, one again and again, so that its weights stay in the caches of a core, and as many different ones as make up the
bytes of all layers, one after the other, as a pass meets them. *Threads*: a pass by one thread, and by two that spin
while it lasts, alone and with two callers at once. What is compared takes turns, and the first rounds do not count.
Token numbers are drawn at random: time does not depend on them. The base must have a graph; ``routeret warm`` makes it.
"""

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from routeret.artifact import read_manifest, write_json
from routeret.benchmarks.machine import machine_facts
from routeret.benchmarks.turns import turns
from routeret.encoders import DEFAULT_BASE, OnnxEncoder
from routeret.encoders.graph.adapter_matrices import AdapterMatrices
from routeret.encoders.graph.joint_layers import joint_matrices, read_joint_layers
from routeret.encoders.graph.names import OUTPUT, named_matrices
from routeret.encoders.graph.onnx_runtime import session_of
from routeret.encoders.graph.store import FORMAT, KIND, graph_file, graph_key, graphs_folder, joint_file
from routeret.encoders.graph.text_passes import GraphFacts, model_inputs

ROUNDS = 300
WARMING = 30
CALLERS = 2
PACKAGES = ("routeret", "numpy", "onnxruntime")

Run = Callable[[], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=12, help="of the text")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    folder = graph_folder()
    facts = GraphFacts.of(read_manifest(folder, kind=KIND, format_number=FORMAT))
    inputs = given(folder, facts, n_tokens=options.tokens)
    report = {
        "machine": machine_facts(PACKAGES),
        "settings": {"base": DEFAULT_BASE, "tokens": options.tokens, "rounds": ROUNDS, "callers": CALLERS},
        "operations": operations(graph_file(folder, "int8"), inputs),
        "weights": weights(facts, n_tokens=options.tokens),
        "threads": threads(graph_file(folder, "int8"), inputs),
    }
    write_json(options.out, report)
    print(json.dumps(report, indent=2))


def graph_folder() -> Path:
    """The folder of the base's graph."""
    graphs = graphs_folder()
    if graphs is None:
        raise SystemExit("graphs are switched off; unset ROUTERET_GRAPHS")
    return graphs / graph_key(OnnxEncoder(DEFAULT_BASE).space)


def given(folder: Path, facts: GraphFacts, *, n_tokens: int) -> dict[str, Any]:
    """What the graph in 8-bit numbers is given for a text without adapters."""
    joint = read_joint_layers(joint_file(graph_file(folder, "int8")))
    none = AdapterMatrices(
        facts.layers, lambda down, up: named_matrices(*joint_matrices(down, up, joint)), scaled=True
    ).of(())
    ids = np.random.default_rng(0).integers(1000, 30_000, size=n_tokens).tolist()
    return {**model_inputs([ids], facts), **none}


def session(file: Path, *, n_threads: int = 1, profile: str = "") -> onnxruntime.InferenceSession:
    """A session whose threads spin while a pass lasts, and no longer."""
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = n_threads
    settings.log_severity_level = 3
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    if profile:
        settings.enable_profiling = True
        settings.profile_file_prefix = profile
    return session_of(file, settings)


def operations(file: Path, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The kinds of operations, the longest first: how many a pass has, microseconds of one, share of all their time."""
    with tempfile.TemporaryDirectory() as folder:
        profiled = session(file, profile=str(Path(folder, "pass")))
        for _ in range(ROUNDS):
            profiled.run([OUTPUT], dict(inputs))
        events = json.loads(Path(profiled.end_profiling()).read_text(encoding="utf-8"))
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]].append(event["dur"])
    whole = sum(map(sum, times.values()))
    found = [
        {
            "operation": kind,
            "a_pass": len(one) / ROUNDS,
            "median_us": float(np.median(one)),
            "share": sum(one) / whole,
        }
        for kind, one in times.items()
    ]
    return sorted(found, key=lambda one: -one["share"])


def weights(facts: GraphFacts, *, n_tokens: int) -> list[dict[str, Any]]:
    """Products in bytes by size: microseconds with weights that were just read, and with others every time."""
    whole = sum(n_in * n_out for _, n_in, n_out in facts.layers)
    found = []
    for n_in, n_out in sorted({(n_in, n_out) for _, n_in, n_out in facts.layers}):
        products = [product(n_in, n_out, n_tokens=n_tokens) for _ in range(round(whole / (n_in * n_out)))]
        runs = {"again": one_after_another(products[:1] * len(products)), "others": one_after_another(products)}
        us = {name: 1000 * ms / len(products) for name, ms in in_turns(runs).items()}
        found.append({"inputs": n_in, "outputs": n_out, "us": us, "times": us["others"] / us["again"]})
    return found


def product(n_in: int, n_out: int, *, n_tokens: int) -> Run:
    """A product of a value with a matrix of bytes, in a session of its own."""
    rng = np.random.default_rng(0)
    numbers = [
        numpy_helper.from_array(rng.integers(-127, 128, size=(n_in, n_out), dtype=np.int8), "matrix"),
        numpy_helper.from_array(np.full(n_out, 0.01, dtype=np.float32), "step"),
        numpy_helper.from_array(np.zeros(n_out, dtype=np.float32), "bias"),
    ]
    read = ["met", "matrix", "step", "", "bias"]
    node = helper.make_node("DynamicQuantizeMatMul", read, ["given"], domain="com.microsoft")
    met = helper.make_tensor_value_info("met", TensorProto.FLOAT, [n_tokens, n_in])
    end = helper.make_tensor_value_info("given", TensorProto.FLOAT, [n_tokens, n_out])
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(helper.make_graph([node], "product", [met], [end], numbers), opset_imports=opsets)
    model.ir_version = 9
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "product.onnx")
        file.write_bytes(model.SerializeToString())
        opened = session(file)
    rows = {"met": rng.normal(size=(n_tokens, n_in)).astype(np.float32)}
    return lambda: opened.run(None, rows)


def one_after_another(runs: Sequence[Run]) -> Run:
    return lambda: [run() for run in runs]


def threads(file: Path, inputs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By the threads of a pass: milliseconds of one alone, and of one where two callers have passes at once."""
    opened = {n_threads: session(file, n_threads=n_threads) for n_threads in (1, 2)}
    with ThreadPoolExecutor(CALLERS) as callers:

        def alone(n_threads: int) -> Run:
            return lambda: opened[n_threads].run([OUTPUT], dict(inputs))

        def at_once(n_threads: int) -> Run:
            run = alone(n_threads)
            return lambda: [one.result() for one in [callers.submit(run) for _ in range(CALLERS)]]

        ms = in_turns({n_threads: alone(n_threads) for n_threads in opened})
        ms_at_once = in_turns({n_threads: at_once(n_threads) for n_threads in opened})
    return [
        {"threads": n_threads, "alone_ms": ms[n_threads], "ms_each_of_two_at_once": ms_at_once[n_threads] / CALLERS}
        for n_threads in opened
    ]


def in_turns(runs: Mapping[Any, Run]) -> dict[Any, float]:
    """Median milliseconds of every run."""
    times: dict[Any, list[float]] = {name: [] for name in runs}
    for _, name in turns(runs, range(WARMING + ROUNDS), seed=0, description="Rounds", show_progress=False):
        start = time.perf_counter()
        runs[name]()
        times[name].append(1000 * (time.perf_counter() - start))
    return {name: float(np.median(one[WARMING:])) for name, one in times.items()}


if __name__ == "__main__":
    main()
