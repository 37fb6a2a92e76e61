"""Reports in files: read back, or said why not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from routeret.errors import ArtifactError

_Report = TypeVar("_Report")


def read_report(path: Path, of: Callable[[Any], _Report], *, what: str, command: str) -> _Report:
    """The report that a file holds.

    Args:
        path: JSON.
        of: makes it of the file's values.
        what: it is, for the error.
        command: writes such a file.

    Raises:
        ArtifactError: the file is missing, is not JSON or is no such report.
    """
    again = f"write it with: {command} --output {path}"
    try:
        return of(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} does not exist; {again}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is not {what} ({type(error).__name__}: {error}); {again}") from error
