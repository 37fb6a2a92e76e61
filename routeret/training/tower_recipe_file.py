"""The recipe of a tower or of a mixture of experts, read from a TOML file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from routeret.fusion import SpaceFusion
from routeret.training.recipe_file import field_names, read_toml, recipe_of, require_fields, require_tables
from routeret.training.tower_recipe import TowerRecipe


@dataclass(frozen=True, slots=True)
class TaskSettings:
    """What a task of a recipe file says about the pairs of one source.

    Attributes:
        name: of the graph, or the path of the source as it was given.
        weight: see :class:`~routeret.training.tower_recipe.TowerTask`.
        temperature: see there.
    """

    name: str
    weight: float = 1.0
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class _Beside:
    """The fields of a file beside those of a recipe and its tasks.

    Attributes:
        space_fusion: how scores become comparable with the base's.
        layers: of a mixture of experts, which have a feed-forward part a domain.
    """

    space_fusion: SpaceFusion = "scores"
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class TowerRecipeFile:
    """What a file says.

    Attributes:
        recipe: how the tower is trained.
        space_fusion: how its scores and the base's become comparable.
        tasks: of a tower, settings for some of its sources.
        layers: of a mixture of experts, the numbers of the layers that get a feed-forward part a domain; None takes
            all.
    """

    recipe: TowerRecipe = field(default_factory=TowerRecipe)
    space_fusion: SpaceFusion = "scores"
    tasks: tuple[TaskSettings, ...] = ()
    layers: tuple[int, ...] | None = None

    @classmethod
    def read(cls, path: Path | None, *, kind: Literal["tower", "moe"]) -> "TowerRecipeFile":
        """The recipe of a TOML file: fields of :class:`TowerRecipe`, ``space_fusion``, and what belongs to its kind.

        Args:
            path: the file; None gives the defaults.
            kind: a ``"tower"`` may have tables ``[[tasks]]``, a mixture of experts (``"moe"``) ``layers``.

        Raises:
            InputError: the file is missing or no TOML, a field is unknown or of another type, or a setting is outside
                its range; the field is named.
        """
        if path is None:
            return cls()
        where = f"the recipe {path}"
        table = read_toml(path, what="recipe")
        names, beside = field_names(TowerRecipe), ("space_fusion", "tasks" if kind == "tower" else "layers")
        require_fields(table, known=(*names, *beside), where=where)
        other = recipe_of(_Beside, _part(table, field_names(_Beside)), where=where)
        return cls(
            recipe=recipe_of(TowerRecipe, _part(table, names), where=where),
            space_fusion=other.space_fusion,
            tasks=_tasks(table.get("tasks", []), where=where),
            layers=other.layers,
        )


def _part(table: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name in names}


def _tasks(tables: list[dict[str, Any]], *, where: str) -> tuple[TaskSettings, ...]:
    require_tables(tables, name="tasks", where=where)
    tasks = []
    for number, table in enumerate(tables, 1):
        place = f"task {number} of {where}"
        require_fields(table, known=field_names(TaskSettings), needed=("name",), where=place)
        tasks.append(recipe_of(TaskSettings, table, where=place))
    return tuple(tasks)
