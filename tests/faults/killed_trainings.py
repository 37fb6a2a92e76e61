"""Kill trainings of experts at moments that hurt, and repeat each until it ends.

The state is written after every step. The first process that trains is never stopped. Others die by SIGKILL, one
after the other, at moments of their own choosing and then at random ones; the last one ends. This prints, as JSON by
the kind of training, what lay beside the expert after every death, and how many steps the last process still had to go.
"""

import argparse
import json
import os
import random
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

# Imported once here, so that no child has to.
import bm25s  # noqa: F401
import peft.utils.transformers_weight_conversion  # noqa: F401
import sentence_transformers  # noqa: F401
import sklearn.linear_model  # noqa: F401
import transformers.models.bert.modeling_bert  # noqa: F401
from safetensors import safe_open

import routeret.encoders.moe  # noqa: F401
from routeret import artifact
from routeret.datasets import load_dataset
from routeret.encoders import TorchEncoder
from routeret.mining import graph_of_pairs, graph_of_qrels
from routeret.routing import stored_pilots
from routeret.training import fitting, train_expert
from routeret.training.lora import LoraRecipe
from routeret.training.moe import MoeDomain, train_moe
from routeret.training.tower_recipe import TowerRecipe, TowerTask
from routeret.training.two_tower import train_two_tower

N_RANDOM = 2
LONGEST_WAIT = 0.2  # seconds
MOST_STEPS = 3
N_EARLY = 6  # moments before the random ones


RECIPE = TowerRecipe(checkpoints=(6, 16), learning_rate=2e-3, batch=8, max_tokens=12)


def base_of(folder):
    return TorchEncoder(folder / "base", device="cpu", precision="float32")


def train_tower(folder, out):
    tasks = [TowerTask(graph_of_qrels(load_dataset(folder / "letters"), "train"))]
    train_two_tower("letters", tasks, [folder / "letters"], out=out, base=base_of(folder), recipe=RECIPE, force=True)


def train_on_pairs(folder, out):
    """Documents that belong together, compared token by token, with hard negatives that the training mines itself."""
    tasks = [TowerTask(graph_of_pairs(folder / "pairs.jsonl", folder / "letters"))]
    recipe = replace(RECIPE, interaction=0.1, n_hard_negatives=2)
    train_two_tower("letters", tasks, [folder / "letters"], out=out, base=base_of(folder), recipe=recipe, force=True)


def train_mixture(folder, out):
    data = [folder / "letters", folder / "rivers"]
    domains = [MoeDomain(one.name, [TowerTask(graph_of_qrels(load_dataset(one), "train"))], [one]) for one in data]
    train_moe(domains, out=out, base=base_of(folder), recipe=RECIPE, force=True)


def train_lora(folder, out):
    recipe = LoraRecipe(learning_rates=(1e-2, 3e-2), checkpoints=(3, 9), rank=4, alpha=8.0, batch=8, dropout=0.1)
    train_expert("letters", [folder / "letters"], out=out, kind="lora", base=base_of(folder), recipe=recipe, force=True)


TRAININGS = {"lora": train_lora, "moe": train_mixture, "pairs": train_on_pairs, "tower": train_tower}


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_half_written(descriptor):
    """Die while a file is written, of which a part has come to the disk."""
    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
    die()


MOMENTS = {
    # Where a call dies: of what, which one, and what happens instead of it; of writes, those of a state count.
    "before the first step": (fitting, "_step_seed", 1, lambda *_: die()),
    "half of the first state is written": (artifact.os, "fsync", 1, die_half_written),
    "the first state is in place": (artifact, "sync_folder", 1, lambda _: die()),
    "in a later step": (fitting, "_step_seed", 3, lambda *_: die()),
    "half of a later state is written": (artifact.os, "fsync", 3, die_half_written),
    "a later state is in place": (artifact, "sync_folder", 2, lambda _: die()),
    "while scored on dev": (fitting._Run, "judged", 1, lambda *_: die()),
    "while the expert is written": (stored_pilots, "new_folder", 1, lambda *_: die()),
}


def dying(owner, name, at, instead):
    """Make a call of a function die."""
    whole, calls = getattr(owner, name), []
    write, writing = fitting.FitState.write, []

    def call(*arguments):
        if owner not in (artifact, artifact.os) or writing:
            calls.append(1)
            if len(calls) == at:
                return instead(*arguments)
        return whole(*arguments)

    def written(*arguments):
        writing.append(1)
        write(*arguments)
        writing.clear()

    setattr(owner, name, call)
    fitting.FitState.write = written


def in_a_child(work, *, kill=None):
    """Whether a function came to its end in a process of its own, which another function may kill from here.

    This process computes nothing, so that it has no threads for which a child would wait.
    """
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            sys.stderr.write(f"training failed: {type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    if kill is not None:
        kill(child)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (0, -signal.SIGKILL):
        raise SystemExit("a training failed")
    return code == 0


def n_kept(folder):
    """Up to which step the states in a folder go, all together; 0 without any."""
    steps = 0
    for file in folder.glob(".*.training"):
        with safe_open(file, framework="np") as state:
            steps += json.loads(state.metadata()["values"])["step"]
    return steps


def found(folder):
    """What lies beside the expert."""
    return {"names": sorted(path.name for path in folder.iterdir()), "steps": n_kept(folder)}


class Repeated:
    """One training that is begun again and again in the same place."""

    def __init__(self, train, folder, place, seed):
        self.place = place / "killed"
        self.place.mkdir()
        self._train = lambda: train(folder, self.place / "out")
        self._note = place / "steps"
        self._rng = random.Random(seed)

    def dies(self, moment):
        """Train until a moment comes."""

        def work():
            dying(*moment)
            self._train()

        if in_a_child(work):
            raise SystemExit(f"a training came to its end, expected it to die in {moment[1]}, call {moment[2]}")
        return found(self.place)

    def is_killed(self):
        """Train slowly for some steps, and be killed from outside after the first of them has begun."""
        reading, writing = os.pipe()
        steps, seed_of = [], fitting._step_seed

        def slow(*numbers):
            steps.append(1)
            os.write(writing, b".")
            time.sleep(0.05 if len(steps) <= MOST_STEPS else 3600)
            return seed_of(*numbers)

        def work():
            os.close(reading)
            fitting._step_seed = slow
            self._train()

        def kill(child):
            os.close(writing)
            os.read(reading, 1)
            time.sleep(self._rng.random() * LONGEST_WAIT)
            os.kill(child, signal.SIGKILL)
            os.close(reading)

        in_a_child(work, kill=kill)
        return found(self.place)

    def ends(self):
        """Train to the end; gives how many steps were left."""
        steps, seed_of = [], fitting._step_seed

        def work():
            fitting._step_seed = lambda *numbers: steps.append(1) or seed_of(*numbers)
            self._train()
            self._note.write_text(str(len(steps)))

        if not in_a_child(work):
            raise SystemExit("the last training was killed")
        return int(self._note.read_text())


def run(train, folder, place, seed):
    """Train without a stop, and with many."""
    place.mkdir()
    if not in_a_child(lambda: train(folder, place / "whole" / "out")):
        raise SystemExit("the training that nobody stopped was killed")
    repeated, deaths = Repeated(train, folder, place, seed), {}
    for name in list(MOMENTS)[:N_EARLY]:
        deaths[name] = repeated.dies(MOMENTS[name])
    for number in range(N_RANDOM):
        deaths[f"at random {number}"] = repeated.is_killed()
    for name in list(MOMENTS)[N_EARLY:]:
        deaths[name] = repeated.dies(MOMENTS[name])
    n_last = repeated.ends()
    return {"deaths": deaths, "steps_at_last": n_last, "left": found(repeated.place)["names"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        help="holds the model 'base', the data sets 'letters' and 'rivers' and 'pairs.jsonl' of the letters' documents",
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    fitting._SECONDS_BETWEEN_SAVES = -1.0
    folder = arguments.folder
    counts = {kind: run(train, folder, folder / kind, arguments.seed) for kind, train in TRAININGS.items()}
    sys.stdout.write(json.dumps(counts, indent=2) + "\n")


if __name__ == "__main__":
    main()
