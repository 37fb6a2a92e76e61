"""The results in the README and in docs/results.md are those of the committed reports."""

from pathlib import Path

import pytest
from scripts import loaded

from routeret.evaluation import is_stale

ROOT = Path(__file__).parents[2]


@pytest.fixture
def page():
    return loaded(ROOT / "eval" / "make_results_page.py")


def test_the_results_are_those_of_the_reports(page):
    command = "python eval/make_results_page.py"
    assert not is_stale(page.README, page.MARKER, content=page.short()), f"README.md is stale; run: {command}"
    assert not is_stale(page.PAGE, page.MARKER, content=page.whole()), f"docs/results.md is stale; run: {command}"
