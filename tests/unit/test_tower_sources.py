"""The train queries of BEIR folders that are trained on: none of them judges what came of it."""

import json

import pytest
from letters import write_letters

from routeret.datasets import load_dataset
from routeret.encoders import HashingEncoder
from routeret.errors import CorpusError
from routeret.mining import graph_of_qrels
from routeret.training.embedded import embed_dataset
from routeret.training.measuring import divide, held_out_rows
from routeret.training.tower_sources import domains_of, graph_of_train

N = 23
UNANSWERED = 4
"""A train query without a relevant document, which neither is trained on nor judges."""


def write_set(folder, *, dev=None):
    """Query n of 23 is answered by document n alone; their ids do not rise. Dev, if there is one, asks the first."""
    (folder / "qrels").mkdir(parents=True)
    numbers = [number * 7 % N for number in range(N)]
    for name, letter in (("corpus", "d"), ("queries", "q")):
        lines = [json.dumps({"_id": f"{letter}{number}", "text": f"{letter} word{number}"}) for number in numbers]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    train = [f"q{number}\td{number}\t{int(number != UNANSWERED)}" for number in range(N)]
    for split, lines in (("train", train), ("dev", dev)):
        if lines is not None:
            (folder / "qrels" / f"{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]))
    return folder


def divided(folder):
    return divide(embed_dataset(load_dataset(folder), HashingEncoder(16)))


@pytest.mark.parametrize("dev", [None, [], ["q0\td0\t0"]])
def test_without_dev_queries_those_that_judge_are_not_trained_on(tmp_path, dev):
    folder = write_set(tmp_path / "law", dev=dev)
    (domain,) = domains_of([("law", folder)])
    (task,), division = domain.tasks, divided(folder)
    assert division.held_out
    # A fifth of the 22 queries that have an answer.
    assert (len(task.graph.left_ids), len(division.dev.ids)) == (18, 4)
    assert task.graph.left_ids == division.train.ids
    assert not {*task.graph.left_ids} & {*division.dev.ids}
    # What answers these alone is gone with them; the others keep their answers and texts.
    assert {*task.graph.right_ids} == {f"d{one[1:]}" for one in task.graph.left_ids}
    pairs = [(task.graph.left_texts[left][2:], task.graph.right_texts[right][2:]) for left, right in task.graph.edges]
    assert all(left == right for left, right in pairs)
    assert (task.graph.name, domain.data) == ("law_train", [folder])


def test_with_dev_queries_all_train_queries_are_trained_on(tmp_path):
    folder = write_set(tmp_path / "law", dev=["q0\td0\t1"])
    found, whole = graph_of_train(load_dataset(folder)), graph_of_qrels(load_dataset(folder), "train")
    assert not divided(folder).held_out
    assert (found.name, found.left_ids, found.right_ids) == (whole.name, whole.left_ids, whole.right_ids)
    assert found.edges.tolist() == whole.edges.tolist()
    assert len(found.left_ids) == 22


def test_every_folder_of_a_domain_holds_its_own_out(tmp_path):
    folders = [write_set(tmp_path / "one"), write_letters(tmp_path / "two")]
    law, other = domains_of([("law", folders[0]), ("other", folders[1]), ("law", folders[1])])[:2]
    assert [len(task.graph.left_ids) for task in law.tasks] == [18, 8]
    assert [len(task.graph.left_ids) for task in other.tasks] == [8]


def test_what_is_held_out_depends_on_the_ids_alone():
    ids = [f"q{number}" for number in range(3000)]
    rows = held_out_rows(ids, name="law")
    assert (len(rows), rows.tolist()) == (400, sorted({*rows.tolist()}))
    assert 0 <= rows[0] < rows[-1] < 3000
    assert held_out_rows(ids, name="med").tolist() == rows.tolist()
    assert held_out_rows(ids[:5], name="law").tolist() == held_out_rows(tuple("abcde"), name="law").tolist()


def test_too_few_queries_to_hold_some_out_are_refused(tmp_path):
    folder = write_letters(tmp_path / "law")
    (folder / "qrels" / "dev.tsv").unlink()
    train = folder / "qrels" / "train.tsv"
    train.write_text("".join(train.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(CorpusError, match="'law' has 4 train queries and no dev split; expected a dev split, or at"):
        domains_of([("law", folder)])
