"""Recipes in TOML files: what is no field, of another type or outside its range is named."""

from dataclasses import dataclass
from typing import Literal

import pytest

from routeret.errors import InputError
from routeret.training.linear import LinearRecipe
from routeret.training.lora import LoraRecipe
from routeret.training.recipe_file import field_names, read_toml, recipe_of, require_fields


@dataclass(frozen=True)
class Recipe:
    steps: tuple[int, ...] = (1, 2)
    rate: float = 0.5
    size: int = 8
    most: int | None = None
    share: float | None = 0.1
    kind: Literal["a", "b"] = "a"
    other: Literal["a", "b"] | None = "b"
    layers: tuple[int, ...] | None = (3,)
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
    assert field_names(Recipe) == (
        *("steps", "rate", "size", "most", "share", "kind", "other", "layers", "name", "whole"),
    )


def test_none_stands_for_none_where_a_field_may_be_none(tmp_path):
    lines = [f'{name} = "none"\n' for name in ("most", "share", "other", "layers")]
    found = recipe_of(Recipe, written(tmp_path, "".join(lines)), where="here")
    assert found == Recipe(most=None, share=None, other=None, layers=None)
    assert recipe_of(Recipe, written(tmp_path, 'name = "none"'), where="here").name == "none"
    recipe = recipe_of(LoraRecipe, written(tmp_path, 'margin = "none"\nmax_tokens = "none"'), where="here")
    assert (recipe.margin, recipe.max_tokens) == (None, None)
    assert recipe_of(LinearRecipe, written(tmp_path, 'margin = "none"'), where="here").margin is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("size = 2.5", "here holds a value of the wrong type: size is 2.5, expected a whole number"),
        ("size = true", "size is True, expected a whole number"),
        ('rate = "1"', "rate is '1', expected a finite number$"),
        ('rate = "none"', "rate is 'none', expected a finite number$"),
        ("rate = nan", "rate is nan, expected a finite number$"),
        ("rate = -inf", "rate is -inf, expected a finite number$"),
        (f"rate = 1{'0' * 400}", "rate is 10+, expected a finite number$"),
        ("size = inf", "size is inf, expected a whole number$"),
        ("share = inf", 'share is inf, expected a finite number or "none"$'),
        ("share = true", 'share is True, expected a finite number or "none"$'),
        ("steps = 3", "steps is 3, expected a list, each a whole number"),
        ("steps = [1, 2.5]", r"steps is \[1, 2.5\], expected a list"),
        ('most = "4"', "most is '4', expected a whole number or \"none\"$"),
        ('kind = "c"', "kind is 'c', expected one of a, b$"),
        ('kind = "none"', "kind is 'none', expected one of a, b$"),
        ('other = "c"', "other is 'c', expected one of a, b or \"none\"$"),
        ('layers = ["none"]', r"layers is \['none'\], expected a list, each a whole number or \"none\"$"),
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
