"""The study of co-citations runs from data to file, on a tiny model and papers of one letter."""

import json
from pathlib import Path

import pytest
from scripts import loaded

from routeret.training.linear import LinearRecipe
from routeret.training.tower_recipe import TowerRecipe

STUDY = Path(__file__).parents[2] / "eval" / "cocitation_study.py"
PAPERS = {f"p{number}": letter for number, letter in enumerate("abcdefghijklmnop")}
PAIRS = [(number, number + 8) for number in range(8)]
"""Papers that are cited together, by one paper each; p0 to p3 are asked about in train, the others in dev and test."""
SPLIT = {"train": PAIRS[:4], "dev": PAIRS[4:6], "test": PAIRS[6:]}


def write_set(folder, documents, queries, qrels):
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "title": "", "text": text} for name, text in documents.items()]
    asked = [{"_id": name, "text": text} for name, text in queries.items()]
    for name, values in (("corpus", corpus), ("queries", asked)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(value) + "\n" for value in values))
    for split, pairs in qrels.items():
        lines = "".join(f"{query}\t{document}\t1\n" for query, document in pairs)
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{lines}")


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    # Paper c0 cites p0 and p8 in a sentence each, c1 cites p1 and p9, and so on.
    citing = {
        f"c{first}__p{cited}__0": f"as {PAPERS[f'p{cited}']}" for first, *_ in PAIRS for cited in (first, first + 8)
    }
    write_set(
        tmp_path / "acl_citances",
        PAPERS | {f"c{first}": "x" for first, _ in PAIRS},
        citing,
        {"train": [(line, line.split("__")[1]) for line in citing]},
    )
    asked = {split: [(f"p{one}", f"p{other}") for one, other in pairs] for split, pairs in SPLIT.items()}
    write_set(tmp_path / "acl_cocite", PAPERS, {f"p{one}": PAPERS[f"p{one}"] for one, _ in PAIRS}, asked)
    monkeypatch.setattr(module, "DATA", tmp_path)
    monkeypatch.setattr(module, "RECIPE", TowerRecipe(checkpoints=(1, 2), batch=4, max_tokens=12))
    monkeypatch.setattr(module, "LINEAR", LinearRecipe(checkpoints=(5, 10)))
    return module


def test_papers_that_are_asked_about_later_take_no_part(study, e5_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "cocitation.json"
    call = ["study", "--base", str(e5_model), "--device", "cpu", "--out", str(out), "--seeds", "2"]
    monkeypatch.setattr("sys.argv", call)
    study.main()
    values = json.loads(out.read_text())
    # Sixteen citing sentences, of which two for each of p4 to p7 would give away a pair that is asked for.
    assert values["mined"]["citing_sentences"] == 12
    assert values["mined"]["pairs"] == 4
    assert values["mined"]["pairs_of_train_queries"] == 0
    assert (values["n_seeds"], set(values["runs"])) == (2, {"0", "1"})
    assert set(values["mean"]) == set(study.FORMS)
    for form in study.FORMS:
        gains = [run[form]["gains"] for run in values["runs"].values()]
        assert [len(one) for one in gains] == [2, 2]
        assert values["mean"][form]["mean"] == pytest.approx(sum(map(sum, gains)) / 4)
    monkeypatch.setattr(study, "train_two_tower", None)
    study.main()
    assert json.loads(out.read_text()) == values
