"""Figures of a study that goes on where an earlier call stopped."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from routeret.artifact import write_json
from routeret.errors import InputError
from routeret.evaluation.provenance import installed_versions


def earlier_values(out: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file, or none where it is not there.

    Args:
        out: the file.
        fields: what every part of it has in common, as JSON values.

    Raises:
        InputError: the file has another value of a field, so its parts cannot stand beside new ones.
    """
    found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8")) if out.exists() else dict(fields)
    differing = [name for name in fields if found.get(name) != fields[name]]
    if differing:
        name = differing[0]
        raise InputError(
            f"{out} holds results with {name} {found.get(name)!r}, expected {fields[name]!r}; repeat that call to go "
            f"on with it, or give another --out"
        )
    return found


def earlier_sets(out: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a file by data set; see :func:`earlier_values`."""
    sets: dict[str, Any] = earlier_values(out, fields).get("sets", {})
    return sets


def write_sets(out: Path, fields: Mapping[str, Any], sets: Mapping[str, Any]) -> None:
    """Write the figures by data set, with what they have in common and the versions of what computed them."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_json(out, {**fields, "versions": installed_versions(), "sets": sets})
