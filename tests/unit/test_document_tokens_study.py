"""The study of documents' token vectors runs from data to file, on a tiny model."""

import json
from pathlib import Path

import pytest
from letters import write_letters
from scripts import loaded

STUDY = Path(__file__).parents[2] / "eval" / "document_tokens_study.py"


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(STUDY.parent))
    module = loaded(STUDY)
    write_letters(tmp_path / "letters")
    monkeypatch.setattr(module, "DATA", tmp_path)
    return module


def test_it_measures_every_way_and_counts_the_room_of_tokens(study, e5_model, tmp_path, monkeypatch):
    out = tmp_path / "results" / "document_tokens.json"
    call = ["study", "--base", str(e5_model), "--device", "cpu", "--out", str(out), "--data", "letters"]
    monkeypatch.setattr("sys.argv", call)
    study.main()
    found = json.loads(out.read_text())["sets"]["letters"]
    dim = study.TorchEncoder(e5_model, device="cpu").space.dim
    n_documents, n_tokens = found["n_documents"], found["n_tokens"]
    assert n_tokens > n_documents
    room = {way: values["bytes"] - found["base"]["bytes"] for way, values in found["ways"].items()}
    assert room == {
        "maxsim, one vector a document": 0,
        "maxsim, tokens fp16": n_tokens * dim * 2,
        "maxsim, tokens int8": n_tokens * (dim + 4),
        "soft 0.1, tokens fp16": n_tokens * dim * 2,
    }
    assert found["base"]["bytes"] == n_documents * dim * 2
    for values in found["ways"].values():
        assert values["fused"]["mean"] >= values["alone"]["mean"]
    assert set(found["ways"]["maxsim, tokens int8"]["alone_against"]) == {"maxsim, tokens fp16"}
