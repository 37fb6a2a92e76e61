"""The picture of a learning curve."""

import sys

import numpy as np
import pytest

from routeret.errors import InputError, MissingExtraError
from routeret.training.curve_plot import draw_curve, require_picture
from routeret.training.learning_curve import learning_curve


@pytest.fixture(scope="module")
def curve():
    gains = np.random.default_rng(0).normal([0.01, 0.02, 0.03], 0.1, size=(60, 3)).astype(np.float32)
    return learning_curve(gains, [20, 40, 80], n_queries=100, more=100)


@pytest.mark.parametrize(("name", "begins"), [("a.png", b"\x89PNG"), ("a.svg", b"<?xml")])
def test_the_picture_is_of_the_kind_that_its_name_says(curve, tmp_path, name, begins):
    pytest.importorskip("matplotlib")
    (tmp_path / name).write_text("old", encoding="utf-8")
    draw_curve(curve, tmp_path / name)
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begins)
    assert len(content) > 5000


def test_what_cannot_be_drawn_is_said_before_the_work(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"curve.jpg ends in '.jpg', expected .png or .svg"):
        require_picture(tmp_path / "curve.jpg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match="bench"):
        require_picture(tmp_path / "curve.png")
