"""docs/experts.md holds the tables of the committed studies."""

from pathlib import Path

import pytest
from scripts import loaded

from routeret.evaluation import is_stale

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return loaded(ROOT / "eval" / "make_experts_page.py")


def test_the_tables_are_those_of_the_studies(page):
    assert not is_stale(page.PAGE, page.MARKER, content=page.content()), (
        "docs/experts.md is stale; run: python eval/make_experts_page.py"
    )


def test_differences_are_shown_with_their_interval(page):
    test = {"mean": 0.0213, "low": -0.004, "high": 0.05, "p_value": 0.1, "n": 3}
    assert page.interval(test) == "+0.021 (-0.004 to +0.050)"
    assert page.interval(None) == "-"
