"""Recipes in TOML files: what is no field, of another type or outside its range is named."""

from dataclasses import dataclass
from typing import Literal

import pytest

from routeret.errors import InputError
from routeret.training.lora import LoraRecipe
from routeret.training.recipe_file import field_names, read_toml, recipe_of, require_fields


@dataclass(frozen=True)
class Recipe:
    steps: tuple[int, ...] = (1, 2)
    rate: float = 0.5
    size: int = 8
    most: int | None = None
    kind: Literal["a", "b"] = "a"
    name: str = "x"
    whole: bool = True


def written(tmp_path, text):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    return read_toml(file, what="recipe")


def test_fields_come_from_the_file_and_the_others_have_their_defaults(tmp_path):
    table = written(tmp_path, 'steps = [3, 5]\nrate = 1\nmost = 4\nkind = "b"\nwhole = false\n')
    assert recipe_of(Recipe, table, where="here") == Recipe(steps=(3, 5), rate=1, most=4, kind="b", whole=False)
    assert recipe_of(Recipe, {}, where="here") == Recipe()
    assert field_names(Recipe) == ("steps", "rate", "size", "most", "kind", "name", "whole")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("size = 2.5", "here holds a value of the wrong type: size is 2.5, expected a whole number"),
        ("size = true", "size is True, expected a whole number"),
        ('rate = "1"', "rate is '1', expected a number"),
        ("steps = 3", "steps is 3, expected a list, each a whole number"),
        ("steps = [1, 2.5]", r"steps is \[1, 2.5\], expected a list"),
        ('most = "4"', "most is '4', expected a whole number$"),
        ('kind = "c"', "kind is 'c', expected one of a, b"),
        ("name = 1", "name is 1, expected text"),
        ("whole = 1", "whole is 1, expected true or false"),
        ("sise = 2", "here has the unknown field 'sise'; its fields are steps, rate, size"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        recipe_of(Recipe, written(tmp_path, line), where="here")


def test_what_a_recipe_refuses_is_said_with_its_place():
    with pytest.raises(InputError, match="the file cannot be used: rank is 0, expected more than 0"):
        recipe_of(LoraRecipe, {"rank": 0}, where="the file")


def test_files_that_cannot_be_read_and_missing_fields_are_named(tmp_path):
    with pytest.raises(InputError, match=r"the recipe .*none\.toml cannot be read"):
        read_toml(tmp_path / "none.toml", what="recipe")
    with pytest.raises(InputError, match="cannot be read: .*line 1"):
        written(tmp_path, "a = = 1")
    with pytest.raises(InputError, match="here lacks the field 'b'"):
        require_fields({"a": 1}, known=("a", "b"), needed=("a", "b"), where="here")
