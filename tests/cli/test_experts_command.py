"""``routeret experts``: what is listed, and descriptions."""

import pytest
from command_line import error_of, run, run_json
from spoiled_pool import TEXTS, spoiled_index

from routeret.cli.experts import fit_text
from routeret.retriever.expert_fits import ExpertFit


def test_without_fit_names_are_listed(tmp_path):
    kb = spoiled_index(tmp_path)
    assert run_json("experts", "list", kb) == [
        {"expert": "spoiler", "description": None},
        {"expert": "idle", "description": None},
    ]
    assert run("experts", "list", kb).stdout.splitlines() == ["spoiler", "idle"]


def test_descriptions_are_given_and_listed(tmp_path):
    kb = spoiled_index(tmp_path)
    expert = tmp_path / "spoiler"
    run("experts", "remove", kb, "spoiler")
    run("experts", "add", kb, expert, "--description", "turns queries round")
    run("experts", "add", kb, "--model", "hashing-48", "--name", "other", "--description", "anything else")
    assert run("experts", "list", kb).stdout.splitlines() == [
        "idle",
        "spoiler: turns queries round",
        "other: anything else",
    ]
    assert run_json("experts", "list", kb)[1] == {"expert": "spoiler", "description": "turns queries round"}
    run("experts", "remove", kb, "spoiler")
    words = "Error: the description is ' ', expected words: say what the expert is for, or leave it out"
    assert error_of("experts", "add", kb, expert, "--description", " ") == words
    assert [one["expert"] for one in run_json("experts", "list", kb)] == ["idle", "other"]


def test_fit_shows_what_every_expert_knows(tmp_path):
    kb = spoiled_index(tmp_path)
    spoiler, idle = run_json("experts", "list", kb, "--fit")
    assert (spoiler["expert"], idle["expert"]) == ("spoiler", "idle")
    # Both were trained over all documents, and keep no sketch.
    for one in (spoiler, idle):
        assert (one["known"], one["distance"]) == (1.0, None)
        assert (one["n_documents"], one["n_queries"]) == (len(TEXTS), len(TEXTS))
    # One changes nothing; the ten of twelve that the other finds first share at least eight with the base's ten.
    assert idle["agreement"] == 1.0
    assert 0.8 <= spoiler["agreement"] < 1
    lines = run("experts", "list", kb, "--fit").stdout.splitlines()
    assert lines[0].startswith(f"spoiler knows 100% of {len(TEXTS)} documents looked at; of the base's first hits ")
    assert len(lines) == 2


@pytest.mark.parametrize(
    ("distance", "between"),
    [(None, ""), (0.314, "; distance from those it was trained over 0.31")],
)
def test_a_line_a_fit(distance, between):
    fit = ExpertFit("law", known=0.975, distance=distance, agreement=0.5, n_documents=4000, n_queries=100)
    assert fit_text(fit) == (
        f"law knows 98% of 4,000 documents looked at{between}; of the base's first hits 50% are also its own"
    )
