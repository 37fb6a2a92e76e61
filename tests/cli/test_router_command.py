"""``routeret router``."""

from pathlib import Path

import pytest
from command_line import error_of, run, run_json
from spoiled_pool import spoiled_index

from routeret.packs import DEFAULT_PACK, read_pack
from routeret.retriever import Retriever


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """The shipped pack's report, with pictures."""
    return run_json("router", "report", DEFAULT_PACK, "--plots", tmp_path_factory.mktemp("router") / "pictures")


def test_the_shipped_router_is_reliable(told):
    found = told["reliability"]
    assert found["calibration_error"] <= 0.05
    assert found["brier_skill"] > 0
    assert found["auc"] >= 0.65
    assert sum(one["n"] for one in found["bins"]) == found["n"]


def test_every_expert_gains_at_home(told):
    assert sorted(told["experts"]) == sorted(read_pack(DEFAULT_PACK).manifest["experts"])
    for corpus in told["corpora"]:
        assert max(gain["mean"] for gain in corpus["gains"] if gain["is_home"]) > 0 or corpus["name"] == "esci_sample"


def test_pictures(told):
    texts = {Path(file).name: Path(file).read_text() for file in told["plots"]}
    assert list(texts) == ["gains.svg", "reliability.svg"]
    assert ">esco_titles<" in texts["gains.svg"]
    assert "chance that the expert helps" in texts["reliability.svg"]


def test_what_people_read(tmp_path):
    lines = run("router", "report", spoiled_index(tmp_path)).stdout.splitlines()
    # 0.4 and -0.2 shrunk by 12 / (12 + 10), the lowest of equal strengths; each was trained on its words.
    assert lines[0].split() == ["gain", "in", "nDCG@10", "spoiler", "idle", "bm25", "pilots"]
    assert lines[1].split() == ["words", "+0.218@0.3*", "-0.109@0.3*", "0.20", "12"]
    assert lines[-1] == "One source of corpora cannot be left out, so what the router promises cannot be checked."


def test_what_has_no_router_is_refused(tmp_path):
    Retriever.create(tmp_path / "kb", base="hashing-32").close()
    assert "has no experts, so it has no router" in error_of("router", "report", tmp_path / "kb")
    assert "nowhere' is neither a pack nor a folder" in error_of("router", "report", tmp_path / "nowhere")
