"""Numbers of recipes that are no settings: NaN, infinite ones, and those out of their range."""

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest

from routeret.errors import InputError
from routeret.mining import BipartiteGraph
from routeret.training.linear import LinearRecipe
from routeret.training.lora import LoraRecipe
from routeret.training.recipe_numbers import is_finite, require_above_zero, require_at_least_zero, require_finite
from routeret.training.tower_recipe import TowerRecipe, TowerTask

NO_NUMBERS = [math.nan, math.inf, -math.inf]
FLOATS = {
    LinearRecipe: {"learning_rate", "weight_decay", "temperature", "anchor_weight", "averaging", "margin"},
    LoraRecipe: {"learning_rates", "alpha", "dropout", "weight_decay", "temperature", "anchor_weight", "margin"},
    TowerRecipe: {"learning_rate", "margin", "interaction"},
}


@dataclass(frozen=True)
class Recipe:
    rate: float = 0.5
    rates: tuple[float, ...] = (1.0,)
    size: int = 3
    name: str = "nan"
    most: int | None = None


@pytest.mark.parametrize("recipe", FLOATS)
@pytest.mark.parametrize("value", NO_NUMBERS)
def test_no_recipe_takes_a_number_that_is_not_finite(recipe, value):
    assert {one.name for one in fields(recipe) if "float" in str(one.type)} == FLOATS[recipe]
    for name in FLOATS[recipe] - {"learning_rates"}:
        with pytest.raises(InputError, match=f"^{name} is {value}, expected a finite number$"):
            recipe(**{name: value})
    if recipe is LoraRecipe:
        with pytest.raises(InputError, match=rf"^learning_rates is \(0.001, {value}\), expected finite numbers$"):
            LoraRecipe(learning_rates=(0.001, value))


@pytest.mark.parametrize("recipe", [LinearRecipe, LoraRecipe])
@pytest.mark.parametrize("name", ["weight_decay", "anchor_weight"])
def test_weights_of_the_loss_are_not_below_zero(recipe, name):
    with pytest.raises(InputError, match=f"^{name} is -0.1, expected at least 0$"):
        recipe(**{name: -0.1})
    assert getattr(recipe(**{name: 0}), name) == 0


def test_the_share_of_the_newest_map_is_above_zero_and_at_most_one():
    with pytest.raises(InputError, match="^averaging is 7, expected at most 1"):
        LinearRecipe(averaging=7)
    with pytest.raises(InputError, match="^averaging is 0, expected more than 0$"):
        LinearRecipe(averaging=0)
    assert LinearRecipe(averaging=1).averaging == 1


@pytest.mark.parametrize("value", [*NO_NUMBERS, 0.0, -1.0])
def test_weight_and_temperature_of_a_task_are_finite_and_above_zero(value):
    graph = BipartiteGraph.from_edges("jobs", np.array([[0, 0]]), left={"a": "b"}, right={"c": "d"})
    with pytest.raises(InputError, match=f"'jobs' has weight {value} and temperature None, expected above 0 and fin"):
        TowerTask(graph, weight=value)
    with pytest.raises(InputError, match=f"'jobs' has weight 1.0 and temperature {value}, expected above 0 and fin"):
        TowerTask(graph, temperature=value)
    task = TowerTask(graph, weight=np.float32(2), temperature=1)
    assert (task.weight, task.temperature) == (2, 1)


def test_numbers_of_any_kind_are_told_from_what_is_none():
    for value in (0, -3, True, 1e308, np.float32(2), np.int64(5), 10**308):
        assert is_finite(value)
    for value in (*NO_NUMBERS, 10**400, np.float32("inf"), "1", None, (1.0,)):
        assert not is_finite(value)


def test_all_fields_are_looked_at_and_those_without_numbers_left_alone():
    require_finite(Recipe())
    with pytest.raises(InputError, match="^rates is .*inf.*, expected finite numbers$"):
        require_finite(Recipe(rates=(1.0, np.float32("inf"))))
    with pytest.raises(InputError, match="^size is inf, expected a finite number$"):
        require_finite(Recipe(size=math.inf))
    require_above_zero(Recipe(), "rate", "size")
    require_at_least_zero(Recipe(size=0), "rate", "size")
    with pytest.raises(InputError, match="^size is 0, expected more than 0$"):
        require_above_zero(Recipe(size=0), "rate", "size")
    with pytest.raises(InputError, match="^rate is -0.5, expected at least 0$"):
        require_at_least_zero(Recipe(rate=-0.5), "size", "rate")
