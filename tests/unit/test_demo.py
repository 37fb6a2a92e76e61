"""The demo's report, and the demo itself on a tiny pack."""

import json
from pathlib import Path

import pytest
from tiny_packs import write_pack

from routeret.demo import DemoReport, run_demo
from routeret.demo.report import Answer, Tuning
from routeret.demo.running import DEMO_DATA, QUERIES
from routeret.encoders import load_encoder
from routeret.errors import ArtifactError, InputError
from routeret.evaluation import evaluate_runs
from routeret.packs import DEFAULT_PACK, list_packs
from routeret.retriever import Retriever
from routeret.training.tuning import TuneReport
from routeret.types import Hit, Hits, Pilot, Routing

QRELS = {"bank": {"q": {"right": 1}}, "code": {"q": {"right": 1}}}
FIRST, SECOND = {"q": {"right": 2.0, "wrong": 1.0}}, {"q": {"right": 1.0, "wrong": 2.0}}  # nDCG@10 1 and 1 / log2(3)


def hit(document_id):
    return Hit(id=document_id, score=0.5, title="", text=f"text of {document_id}", metadata={}, span=(0, 4))


def routing(**changes):
    values = {
        "weights": {"finance": 0.75, "base": 0.245, "work": 0.005, "bm25": 0.15},
        "strengths": {"finance": 0.7, "work": 0.3},
        "predicted_gains": {"finance": 0.081, "work": -0.02},
        "margin": 0.081,
        "held_back": False,
        "corpora": {"banking77": 0.9, "esco_titles": 0.1},
        "known_documents": {"finance": 0.5, "work": 0.0},
        "pilots": (Pilot(text="where is my card?", corpus="banking77", similarity=0.83),),
    }
    return Routing(**{**values, **changes})


def answer(*, routed=("bank/d1", "bank/d2"), base=("bank/d2",), **changes):
    query = "my card"
    found = [Hits(query=query, items=tuple(map(hit, ids)), routing=routing(**changes)) for ids in (routed, base)]
    return Answer(*found)


def report(*, folder=None, installed=True, answers=None):
    runs = {
        "bank": {"base": SECOND, "routed": FIRST, "average": None},
        "code": {"base": FIRST, "routed": FIRST, "average": None},
    }
    tuned = TuneReport(
        expert="tuned",
        installed=installed,
        reason="the odds are good" if installed else "too risky",
        before=0.4,
        after=0.45,
        p_value=0.0123,
        expected_gain=0.03,
        harm_probability=0.01,
        strength=0.7,
        n_queries=100,
        seconds=2.34,
    )
    return DemoReport(
        folder=folder,
        n_documents=1649,
        experts=("finance", "work"),
        build_seconds=30.4,
        evaluation=evaluate_runs(runs, QRELS, merged=True),
        answers=answers or (answer(),),
        tuning=Tuning("tatqa", 400, tuned, 150, test_before=0.41, test_after=0.43 if installed else 0.41),
        seconds=88.0,
    )


def test_the_text_shows_the_means():
    lines = report().text().splitlines()
    assert "1649 documents were embedded once, in 30 s." in " ".join(lines)
    cells = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert cells["bank"] == ["1", "0.631", "1.000", "-"]
    assert cells["code"] == ["1", "1.000", "1.000", "-"]
    assert cells["mean"] == ["0.815", "1.000", "-"]


def test_the_text_tells_why():
    text = report().text()
    cells = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith("  ")}
    assert cells["finance"] == ["0.75", "0.70", "+0.081", "50%"]
    assert cells["base"] == ["0.24", "-", "-", "-"]
    assert cells["1"] == ["more", "0.01", "-", "-", "-"]  # work weighs next to nothing
    assert "beside it bm25 0.15; margin 0.081; not held back" in text
    assert "likeliest corpora: banking77 0.90, esco_titles 0.10" in text
    assert "near pilot 0.83 banking77: where is my card?" in text
    assert "the base alone would put bank/d2 first" in text


def test_the_text_is_silent_where_there_is_nothing_to_say():
    same = answer(
        routed=("bank/d1",), base=("bank/d1",), corpora={}, pilots=(), held_back=True, reason="too few are known"
    )
    text = report(answers=(same, answer(routed=(), base=()))).text()
    assert "the base alone would put" not in text
    assert "likeliest corpora: none" in text
    assert "held back: too few are known" in text


@pytest.mark.parametrize(
    ("installed", "words", "test_line"),
    [
        (True, "Installed: the odds are good", ["0.410", "0.430", "+0.020"]),
        (False, "Not installed: too risky", ["0.410", "0.410", "+0.000"]),
    ],
)
def test_the_text_tells_what_tuning_did(installed, words, test_line):
    lines = report(installed=installed).text().splitlines()
    assert words in lines
    assert next(line for line in lines if line.startswith("cross-validation")).split()[-3:] == [
        "0.400",
        "0.450",
        "+0.050",
    ]
    assert next(line for line in lines if line.startswith("150 test queries")).split()[-3:] == test_line
    assert "p = 0.012 by cross-validation; 2.3 s; no document was embedded again." in lines


def test_the_next_steps_name_the_folder_that_was_kept(tmp_path):
    assert f'  routeret search {tmp_path / "kb"} "my card"' in report(folder=tmp_path).text()
    assert "routeret demo --folder" not in report(folder=tmp_path).text()
    assert "  routeret demo --folder demo " in report().text()


def test_no_line_is_wider_than_a_terminal():
    text = report(answers=(answer(pilots=(Pilot(text="word " * 60, corpus="banking77", similarity=0.5),)),)).text()
    assert max(map(len, text.splitlines())) <= 102


def test_the_values_are_json(tmp_path):
    values = json.loads(json.dumps(report(folder=tmp_path).as_dict()))
    assert values["folder"] == str(tmp_path)
    assert values["evaluation"]["mean"]["routed"]["ndcg@10"] == 1.0
    assert values["answers"][0]["routing"]["weights"]["finance"] == 0.75
    assert [one["id"] for one in values["answers"][0]["base_hits"]] == ["bank/d2"]
    assert values["tuning"]["installed"] is True
    assert values["tuning"]["test"] == {"n_queries": 150, "before": 0.41, "after": 0.43}
    assert report().as_dict()["folder"] is None


def test_a_folder_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="exists already"):
        run_demo(tmp_path, show_progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_unknown_pack_leaves_nothing_behind(tmp_path):
    with pytest.raises(InputError, match="neither a pack nor a folder"):
        run_demo(tmp_path / "demo", pack="no-such-pack", show_progress=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_whole_demo_runs_without_a_model(tmp_path, capfd, monkeypatch):
    pack = write_pack(tmp_path / "tiny")
    devices = []

    def watched(model, *, device=None, download=False):
        if isinstance(model, str | Path):
            devices.append(device)
        return load_encoder(model, device=device, download=download)

    for module in ("building.new", "retriever.loading"):
        monkeypatch.setattr(f"routeret.{module}.load_encoder", watched)
    found = run_demo(tmp_path / "demo", pack=pack, device="cuda:7")
    assert set(devices) == {"cuda:7"}
    assert found.n_documents == 1649
    assert len(found.evaluation.datasets) == 7
    assert [one.routed.query for one in found.answers] == list(QUERIES)
    assert found.tuning.report.n_queries == 100
    assert found.tuning.n_test_queries == 150
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["kb", "tatqa"]
    with Retriever.open(tmp_path / "demo" / "tatqa") as retriever:
        assert len(retriever) == 400
        assert ("tuned" in retriever.expert_names) is found.tuning.report.installed
    output = capfd.readouterr()
    assert output.out == ""
    assert "1649/1649" in output.err
    json.dumps(found.as_dict())


@pytest.mark.slow
@pytest.mark.skipif(DEFAULT_PACK not in list_packs(), reason="the shipped pack is not here; build it: make pack")
def test_the_demo_shows_what_routing_is_for(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found = run_demo(show_progress=False)
    mean = {name: values["ndcg@10"] for name, values in found.evaluation.mean.items()}
    assert mean["routed"] > mean["average"] > mean["base"]
    assert mean["routed_hybrid"] > mean["hybrid"]
    for one, domain in zip(found.answers, ("banking77", "tldr_cli", "medquad_liveqa"), strict=True):
        assert one.routed[0].id.startswith(f"{domain}/")
        assert next(iter(one.routed.routing.corpora)) == domain
    assert found.folder is None
    assert list(tmp_path.iterdir()) == []


def test_the_demo_queries_are_no_queries_of_the_data():
    from routeret.datasets import load_dataset

    asked = {text.lower() for path in DEMO_DATA.iterdir() for text in load_dataset(path).queries.values()}
    assert asked.isdisjoint(QUERIES)
