"""Spaces: equal when vectors may be compared, and the same on every machine."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from routeret.errors import RouteretError, SpaceMismatchError
from routeret.space import Space

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "fingerprints.json").read_text(encoding="utf-8"))
SPACE = Space(model="ab" * 32, pooling="mean", max_tokens=256, dim=384)
OTHER_VALUES = {
    "model": "cd" * 32,
    "pooling": "cls",
    "max_tokens": 128,
    "dim": 385,
    "document_prompt": "passage: ",
    "join": "{title}: {text}",
    "unit_length": False,
    "similarity": "dot",
    "vectors": "token",
}


@pytest.mark.parametrize("number", range(len(GOLDEN["spaces"])))
def test_fingerprints_never_change(number):
    stored = GOLDEN["spaces"][number]
    assert Space.from_dict(stored["space"]).fingerprint == stored["fingerprint"]


@pytest.mark.parametrize("name", [field.name for field in fields(Space)])
def test_every_field_counts(name):
    other = replace(SPACE, **{name: OTHER_VALUES[name]})
    assert other != SPACE
    assert other.fingerprint != SPACE.fingerprint
    with pytest.raises(SpaceMismatchError, match=f"they differ in {name} "):
        SPACE.require_same(other, here="index 'faq'", there="expert 'bio'")


def test_a_space_survives_json():
    space = replace(SPACE, document_prompt="Überschrift: ")
    assert Space.from_dict(json.loads(json.dumps(space.as_dict()))) == space


def test_equal_spaces_pass():
    SPACE.require_same(replace(SPACE), here="index 'faq'", there="expert 'bio'")
    assert hash(SPACE) == hash(replace(SPACE))


def test_a_mismatch_says_who_holds_what():
    other = replace(SPACE, dim=128, document_prompt="passage: ")
    with pytest.raises(SpaceMismatchError) as caught:
        SPACE.require_same(other, here="index 'faq'", there="expert 'bio'")
    message = str(caught.value)
    assert f"index 'faq' holds space {SPACE.fingerprint}, expert 'bio' writes space {other.fingerprint}" in message
    assert "dim 384 against 128" in message
    assert "document_prompt '' against 'passage: '" in message
    assert isinstance(caught.value, RouteretError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("title", "text", "expected"),
    [("A", "b", "A b"), ("", "b", "b"), ("A", "", "A"), ("", "", ""), ("{x}", "{title}", "{x} {title}")],
)
def test_title_and_text_become_one(title, text, expected):
    assert SPACE.joined(title=title, text=text) == expected
