"""Kill a writer at random moments, again and again, and check that nothing is lost; see ``make soak``.

One process forks a writer that works through a list of changes, kills it, and looks at what is left: exactly the
documents behind the last change that came through, with their vectors and tokens, none damaged. The next writer repeats
the change that was interrupted and goes on. At the end a second index goes through the same changes without an
interruption, and both must give the same results.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from word_tokens import WordTokens, kept, tokens_by_id

from routeret.corpus import Corpus
from routeret.encoders.hashing import HashingEncoder
from routeret.index import Index, adding, segments
from routeret.index.structures import row_search
from routeret.types import Document

ENCODER = HashingEncoder(dim=16)
TOKENS = WordTokens(dim=4)
"""Of a second space, where an index has one."""

WORDS = ["red", "green", "tea", "cat", "dog", "mat", "sun", "tax"]
CHANGES = ["add", "upsert", "upsert", "delete", "sync", "compact", "optimise", "fulltext"]
N_IDS = 60
FAILED = 99
LONGEST_WAIT = 0.25  # seconds
MOST_IDLE = 40
PATIENCE = 1.2  # after every writer that made no change the next one gets so much more time, so that all get on


def small_blocks(put=setattr):
    """Make blocks and files small, so that every change crosses their borders."""
    put(adding, "BLOCK_DOCUMENTS", 4)
    put(adding, "BLOCK_DOCUMENTS_WITH_TOKENS", 4)
    put(segments, "BLOCK_ROWS", 8)
    put(segments, "SEGMENT_ROWS", 40)
    # What is built once is built again after every change.
    put(row_search, "EXACT_ROWS", 1)


def change(model, rng):
    """Draw the next change for an index that holds the documents of a model, by id."""
    kind = rng.choice(CHANGES)
    if kind == "delete":
        ids = rng.sample(sorted(model), min(len(model), rng.randint(1, 5)))
        return ("delete", ids) if ids else ("compact", None)
    if kind in ("compact", "optimise", "fulltext"):
        return kind, None
    ids = rng.sample(range(N_IDS), rng.randint(1, 25))
    documents = [
        Document(id=f"d{number}", text=" ".join(rng.choices(WORDS, k=4)), metadata={"year": rng.randint(2000, 2020)})
        for number in ids
        if kind != "add" or f"d{number}" not in model
    ]
    return (kind, documents) if documents else ("compact", None)


def after(model, kind, argument):
    """The documents that an index holds after a change, in number order."""
    model = dict(model)
    if kind == "delete":
        return {key: document for key, document in model.items() if key not in argument}
    if kind in ("compact", "optimise", "fulltext"):
        return model
    if kind == "sync":
        kept = {document.id for document in argument}
        model = {key: document for key, document in model.items() if key in kept}
    for document in argument:
        if model.get(document.id) != document:
            model.pop(document.id, None)
            model[document.id] = document
    return model


def make(folder, kind, argument):
    """Make a change."""
    with Index.open(folder) as index:
        if kind == "compact":
            index.compact()
        elif kind == "optimise":
            index.optimise(factory="SQ8")
        elif kind == "fulltext":
            index.fulltext.search("red tea", 5)
        elif kind == "delete":
            index.delete(argument)
        else:
            getattr(index, kind)(Corpus.of(argument), [ENCODER, TOKENS][: len(index.spaces)], batch_size=3)


def holds(index, model):
    """Whether an index holds exactly these documents, finds them by vectors and words, and is undamaged."""
    if index.ids() != list(model) or index.documents(index.numbers(list(model))) != list(model.values()):
        return False
    queries = ENCODER.encode_queries(["red tea", "dog"])
    found = index.search(queries, len(model) + 1, space=ENCODER.space)
    if not model:
        return found.rows.shape == (2, 0)
    vectors = ENCODER.encode_documents(list(model.values())).vectors.astype(np.float16).astype(np.float64)
    products = (queries.astype(np.float64) @ vectors.T).astype(np.float32)
    order = [np.lexsort((np.arange(len(model)), -line)) for line in products]
    ids = list(model)
    for line, rows in enumerate(found.rows):
        if index.ids(index.row_documents[rows]) != [ids[place] for place in order[line]]:
            return False
    return len(index.spaces) == 1 or holds_tokens(index, model)


def holds_tokens(index, model):
    """Whether an index holds the token vectors of these documents, each in its place."""
    found = tokens_by_id(index, TOKENS.space)
    expected = {key: kept(TOKENS.tokens(document.text.split()), "int8") for key, document in model.items()}
    return all(np.array_equal(found[key][0], tokens) for key, tokens in expected.items())


def write(folder, changes, done):
    """Go through changes, and say after each that it came through."""
    for kind, argument in changes:
        make(folder, kind, argument)
        os.write(done, b".")


def killed_run(folder, changes, wait):
    """Fork a writer, kill it after a while; gives how many changes it said it had made, and whether it was killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            write(folder, changes, writing)
        except BaseException as error:
            sys.stderr.write(f"writer failed: {type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    os.close(writing)
    time.sleep(wait)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        said = len(pipe.read())
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit("a writer failed")
    return said, os.WIFSIGNALED(status)


def in_a_child(look):
    """What a function that gives a small number gives in a process of its own.

    This process must stay without threads: a child of one that has used OpenMP waits for ever for its threads.
    """
    child = os.fork()
    if child == 0:
        try:
            os._exit(look())
        except BaseException as error:
            sys.stderr.write(f"looking failed: {type(error).__name__}: {error}\n")
            os._exit(FAILED)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def which(folder, models):
    """Position of the model whose documents an index holds; as many as there are if it holds none of them."""
    with Index.open(folder, verify=True) as index:
        return next((place for place, model in enumerate(models) if holds(index, model)), len(models))


def differ(folder, whole, model):
    """0 where two indexes hold the same documents and find the same by words, 1 where they do not."""
    with Index.open(folder) as interrupted, Index.open(whole) as uninterrupted:
        if not (holds(interrupted, model) and holds(uninterrupted, model)):
            return 1
        found = [index.ids(index.fulltext.search("red tea", 10).numbers) for index in (interrupted, uninterrupted)]
        return int(found[0] != found[1])


def new_index(folder):
    """Make an empty index of two spaces, one of which keeps tokens."""
    with Index.create(folder, ENCODER.space) as index:
        index.add_space(TOKENS, tokens="int8")


def make_all(folder, changes):
    """Make changes without an interruption."""
    new_index(folder)
    for kind, argument in changes:
        make(folder, kind, argument)
    return 0


def run(n_kills, seed):
    """Kill writers; gives counts."""
    small_blocks()
    rng = random.Random(seed)
    counts = {"kills": 0, "changes": 0, "came through unsaid": 0, "by interrupted change": {}}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "kb"
        new_index(folder)
        models, changes = [{}], []
        made = n_idle = 0
        while counts["kills"] < n_kills:
            while len(changes) < made + 40:
                changes.append(change(models[-1], rng))
                models.append(after(models[-1], *changes[-1]))
            wait = rng.random() * LONGEST_WAIT * PATIENCE**n_idle
            said, was_killed = killed_run(folder, changes[made : made + 40], wait)
            made += said
            n_idle = 0 if said else n_idle + 1
            counts["kills"] += was_killed
            state = in_a_child(lambda now=models[made : made + 2]: which(folder, now))
            if state == 0:
                kind = changes[made][0]
                by_change = counts["by interrupted change"]
                by_change[kind] = by_change.get(kind, 0) + was_killed
            elif state == 1:
                counts["came through unsaid"] += 1
                made += 1
                n_idle = 0
            else:
                raise SystemExit(f"after change {made} ({changes[made][0]}), seed {seed}: documents were lost")
            if n_idle > MOST_IDLE:
                raise SystemExit(f"change {made} ({changes[made][0]}), seed {seed}: no writer gets on")
        counts["changes"] = made
        whole = Path(temporary) / "whole"
        if in_a_child(lambda: make_all(whole, changes[:made])) or in_a_child(
            lambda: differ(folder, whole, models[made])
        ):
            raise SystemExit(f"seed {seed}: the interrupted and the uninterrupted index differ")
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, help="write the counts as JSON")
    arguments = parser.parse_args()
    counts = {"seed": arguments.seed, **run(arguments.kills, arguments.seed)}
    text = json.dumps(counts, indent=2, sort_keys=True)
    sys.stdout.write(text + "\n")
    if arguments.output:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
