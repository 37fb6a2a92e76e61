"""docs/evaluation.md and the help of ``routeret eval`` name every system and say what it is."""

import re
from pathlib import Path

from routeret.cli.evaluate import command
from routeret.evaluation.systems import ALL_ORACLES, BASELINES, ON_REQUEST, USUAL, known_systems
from routeret.routing import ROUTERS

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", PAGE, flags=re.MULTILINE))


def test_every_system_is_in_the_table():
    assert set(known_systems([])) <= set(ROWS)
    assert {name for name, what in ROWS.items() if what.startswith("on request: ")} == set(ON_REQUEST)


def test_a_router_is_told_as_the_registry_tells_it():
    told = {name: ROWS[name].removeprefix("on request: ") for name in ROUTERS}
    assert told == {name: kind.summary for name, kind in ROUTERS.items()}


def test_the_help_names_what_is_measured_on_request():
    words = set(re.findall(r"\w+", command.help))
    assert {*ON_REQUEST, BASELINES, ALL_ORACLES, USUAL} <= words
