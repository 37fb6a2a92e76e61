"""Routers of every format that was written are read, and decide what they were fitted to decide."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from routeret.errors import ArtifactError
from routeret.routing import UtilityRouter
from routeret.types import QueryBatch

GOLDEN = Path(__file__).parents[1] / "golden"

sys.path.insert(0, str(GOLDEN))
from make_router import CARE, CODE, N_PILOTS, corpus  # noqa: E402 - a script beside the files it makes


@pytest.fixture(params=[1, 2])
def router(request):
    return UtilityRouter.load(GOLDEN / f"router-{request.param}")


def test_the_pool_and_the_settings(router):
    assert router.expert_names == ("nurse", "coder")
    assert (router.settings.temperature, router.settings.unknown_strength) == (0.02, 0.2)
    assert [(one.name, one.home_experts, one.is_index) for one in router.corpora] == [
        ("care", ("nurse",), False),
        ("code", ("coder",), False),
    ]


def test_the_pilots(router):
    written = corpus("care", CARE, gains={"nurse": 0.2, "coder": -0.1}, home="nurse")
    read = router.library.corpora[0]
    assert read.texts == written.texts
    assert read.texts[3] == "care 3 für ☃"
    assert (read.source, read.home_experts) == ("care source", ("nurse",))
    np.testing.assert_allclose(read.vectors, written.vectors, atol=0.005)
    np.testing.assert_allclose(read.gains["nurse"][:-1], 0.2, atol=1e-3)
    assert np.isnan(read.gains["nurse"][-1]).all()
    np.testing.assert_allclose(read.lexical_gains[0, -1], 0.08, atol=1e-3)


def test_the_decisions(router):
    # 11 of 12 pilots are measured; a mean over 11 counts 11 / (11 + 10) of itself: .2 becomes .1048.
    np.testing.assert_allclose(router.table.means[:, :, 0], [[0.1048, -0.0524], [-0.0524, 0.1048]], atol=1e-3)
    queries = QueryBatch(("a", "b"), np.stack([CARE, CODE]))
    told = router.route(queries, known=np.eye(2, dtype=np.float32))
    np.testing.assert_array_equal(told.weights[:, 1:].argmax(axis=1), [0, 1])
    assert told.weights[:, 1:].max(axis=1).min() > 0.98
    # .8 is the best weight; 11 pilots keep 11 / 21 of it and 10 / 21 of the general .2.
    np.testing.assert_allclose(told.lexical, (11 * 0.8 + 10 * 0.2) / 21, atol=0.01)
    unknown = router.route(queries, known=np.zeros((2, 2), dtype=np.float32))
    assert unknown.strengths.max() <= 0.2


def test_both_formats_decide_alike():
    queries = QueryBatch(tuple("abc"), np.stack([CARE, CODE, (CARE + CODE) / np.sqrt(2)]).astype(np.float32))
    old, new = (
        UtilityRouter.load(GOLDEN / f"router-{number}").route(queries, known=np.zeros((3, 2), dtype=np.float32))
        for number in (1, 2)
    )
    np.testing.assert_allclose(old.weights, new.weights, atol=0.01)
    np.testing.assert_allclose(old.strengths, new.strengths, atol=0.01)
    np.testing.assert_allclose(old.prospects.helps, new.prospects.helps, atol=0.01)
    np.testing.assert_allclose(old.prospects.errors, new.prospects.errors, atol=0.01)


def test_a_newer_format_says_what_reads_it(tmp_path):
    shutil.copytree(GOLDEN / "router-2", tmp_path / "router")
    manifest = json.loads((tmp_path / "router" / "manifest.json").read_text())
    (tmp_path / "router" / "manifest.json").write_text(json.dumps({**manifest, "format": 3, "routeret": "9.0"}))
    with pytest.raises(ArtifactError, match=r"router format 3, this version reads formats 1 to 2; .* routeret 9\.0"):
        UtilityRouter.load(tmp_path / "router")


def test_a_decision_reads_no_pilots_and_they_can_be_read_after_the_folder_is_gone(tmp_path):
    shutil.copytree(GOLDEN / "router-2", tmp_path / "router")
    router = UtilityRouter.load(tmp_path / "router")
    router.route(QueryBatch(("a",), CARE[None]), known=np.zeros((1, 2), dtype=np.float32))
    assert "library" not in vars(router.pilots)
    shutil.rmtree(tmp_path / "router")
    assert len(router.library.corpora[1].texts) == N_PILOTS
