"""The study of work titles runs from data to file, on a tiny model."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from letters import ANSWERS, write_letters

from routeret.errors import InputError

STUDY = Path(__file__).parents[2] / "eval" / "work_study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study over letters: n of the first third is an occupation's alternative title, n of the last its title."""
    monkeypatch.syspath_prepend(str(STUDY.parent))
    spec = importlib.util.spec_from_file_location("work_study", STUDY)
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up the module that it stands in.
    monkeypatch.setitem(sys.modules, "work_study", module)
    spec.loader.exec_module(module)
    titles = write_letters(tmp_path / "titles")
    documents = [
        {"_id": f"d{number}", "title": letter, "text": f"{number} {number}."} for number, letter in enumerate(ANSWERS)
    ]
    (titles / "corpus.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents))
    judged = (titles / "qrels" / "dev.tsv").read_text()
    (titles / "qrels" / "test.tsv").write_text(judged)
    others = write_letters(tmp_path / "others", shift=1)
    (others / "qrels" / "dev.tsv").rename(others / "qrels" / "test.tsv")
    monkeypatch.setattr(module, "TRAINED_ON", titles)
    return module


@pytest.fixture
def call(study, e5_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "work.json"
    # Whatever the processor offers, so that batches of other sizes give the same vectors.
    monkeypatch.setattr("routeret.encoders.torch._computes_in_bfloat16", lambda _: False)

    def called(*words):
        fixed = ["--base", str(e5_model), "--device", "cpu", "--zero-shot", str(tmp_path / "others"), "--out", str(out)]
        monkeypatch.setattr("sys.argv", ["study", *fixed, *words])
        study.main()
        return json.loads(out.read_text())

    return called


def test_every_row_is_measured_once_and_tested_against_the_references(study, call, monkeypatch, capsys):
    words = ["--split", "dev", "--rate", "1e-2", "--steps", "2", "20"]
    call(*words, "--seeds", "1", "--configs", "base", "one_way")
    trained = []
    one_run = study.one_run
    monkeypatch.setattr(study, "one_run", lambda *given, seed: trained.append(seed) or one_run(*given, seed=seed))
    values = call(*words, "--seeds", "2", "--configs", "base", "one_way")
    assert trained == [1]
    runs, rows = values["splits"]["dev"]["runs"], values["splits"]["dev"]["rows"]
    assert set(runs["base"]) == {"0"}
    assert set(runs["one_way"]) == {"0", "1"}
    assert runs["one_way"]["1"]["settings"]["sets"] == {"titles": "dev", "others": "test"}
    scorers = {"pooled", "maxsim", *(f"soft_{value}" for value in study.SOFT)}
    assert set(rows) == {f"base/{scorer}" for scorer in scorers} | {"one_way/pooled"}
    of_seeds = [run["rows"]["pooled"]["titles"]["ndcg@10"] for run in runs["one_way"].values()]
    after, before = rows["one_way/pooled"]["titles"], rows["base/pooled"]["titles"]
    assert after["ndcg@10"] == pytest.approx(np.mean(of_seeds))
    assert after["n_seeds"] == 2
    difference = after["against_base"]["map"]
    assert difference["mean"] == pytest.approx(after["map"] - before["map"])
    assert difference["mean"] > 0.1
    # What is scored on dev while training is what is measured afterwards.
    run = runs["one_way"]["0"]
    assert run["history"][str(run["steps"])] == pytest.approx(of_seeds[0], abs=1e-4)
    assert "one_way/pooled" in capsys.readouterr().out


def test_a_run_of_other_settings_is_not_mixed_in(call):
    call("--split", "dev", "--seeds", "1", "--steps", "2", "--configs", "one_way")
    with pytest.raises(InputError, match="--again"):
        call("--split", "dev", "--seeds", "1", "--steps", "3", "--configs", "one_way")
    values = call("--split", "dev", "--seeds", "1", "--steps", "3", "--configs", "one_way", "--again")
    assert values["splits"]["dev"]["runs"]["one_way"]["0"]["steps"] == 3


def test_the_test_split_takes_the_temperature_that_dev_chose(study, call, tmp_path):
    with pytest.raises(InputError, match="--split dev first"):
        call("--split", "test", "--seeds", "1", "--steps", "2", "--configs", "soft")
    call("--split", "dev", "--seeds", "1", "--steps", "2", "--configs", "soft", "maxsim")
    out = tmp_path / "results" / "work.json"
    values = json.loads(out.read_text())
    assert values["splits"]["dev"]["runs"]["maxsim"]["0"]["settings"]["recipe"]["interaction"] > 0
    for number, temperature in enumerate(study.SOFT):
        found = values["splits"]["dev"]["runs"][f"soft_{temperature}"]["0"]["rows"][f"soft_{temperature}"]
        found["titles"]["ndcg@10"] = 0.5 if number == 1 else 0.4
    out.write_text(json.dumps(values))
    values = call("--split", "test", "--seeds", "1", "--steps", "2", "--configs", "soft")
    assert set(values["splits"]["test"]["runs"]) == {f"soft_{study.SOFT[1]}"}


def test_measures_of_a_relevant_document_at_rank_11(study):
    scores = np.array([np.arange(12, 0, -1), np.arange(12)], dtype=np.float32)
    ids = [f"d{number}" for number in range(12)]
    values = study.measures_of(scores, ["a", "b"], ids, {"a": {"d10": 1}, "b": {"d11": 1, "d9": 1}})
    np.testing.assert_allclose(values[0], [1 / 11, 0, 0], rtol=1e-6)
    ndcg = (1 + 1 / np.log2(4)) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(values[1], [(1 + 2 / 3) / 2, 1, ndcg], rtol=1e-6)


def test_the_shortcut_keeps_what_is_among_the_candidates(study, monkeypatch):
    monkeypatch.setattr(study, "SHORTCUTS", (5, 10, 20))
    scores = np.arange(20, 0, -1, dtype=np.float32)[None]
    # The pooled vectors rank rows 5 to 19 first: of the exact top 10 (rows 0 to 9) five are at the front.
    pooled = np.concatenate([np.zeros(5), np.arange(15, 0, -1)]).astype(np.float32)[None]
    np.testing.assert_allclose(study.kept_by_shortcut(scores, pooled), [[0.5, 0.5, 1.0]])


def test_latency_is_kept_beside_the_runs(call):
    call("--split", "dev", "--seeds", "1", "--steps", "2", "--configs", "one_way")
    values = call("--latency", "--split", "test")
    assert "one_way" in values["splits"]["dev"]["runs"]
    found = values["latency"]
    assert (found["n_documents"], found["n_timed"], found["split"]) == (8, 8, "test")
    assert found["late_over_all"]["ratio"] == pytest.approx(found["late_over_all"]["ms"] / found["bi_encoder"]["ms"])
    # Among 8 documents every shortcut holds all.
    assert set(found["recall_of_candidates"].values()) == {1.0}
