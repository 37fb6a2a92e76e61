"""A small file that says how far the store had come, so that a store that lost commits is not taken for whole.

SQLite keeps its latest commits in a log and drops, without a word, those behind a damaged place.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from routeret.artifact import write_file
from routeret.errors import ArtifactError
from routeret.index.schema import FORMAT, KIND

WITNESS = "index.json"

_DIGITS = 16


def write_witness(folder: Path, *, commit: int) -> None:
    """Say that the store of a folder holds a commit; to be written behind the commit itself."""
    write_file(folder / WITNESS, _content(commit))


def read_witness(folder: Path) -> int:
    """The commit that the store of a folder holds at least; to be read before the store is.

    Raises:
        ArtifactError: the file is missing or broken.
    """
    path = folder / WITNESS
    next_step = f"if the store is whole, write it again with: routeret verify {folder} --repair"
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing; {next_step}") from error
    try:
        values: Any = json.loads(content)
        commit = int(values["commit"])
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); {next_step}") from error
    if content != _content(commit):
        raise ArtifactError(f"{path} is damaged: it is not what was written for commit {commit}; {next_step}")
    return commit


def _content(commit: int) -> bytes:
    values = {"kind": KIND, "format": FORMAT, "commit": commit}
    checksum = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    return (json.dumps({**values, "checksum": checksum}, indent=2, sort_keys=True) + "\n").encode()


def require_commit(folder: Path, *, witnessed: int, found: int) -> None:
    """Do nothing if a store holds the commit that was witnessed.

    Raises:
        ArtifactError: it holds an earlier one.
    """
    if found < witnessed:
        raise ArtifactError(
            f"the store of index {folder} is at commit {found}, but commit {witnessed} had been written: its log is "
            f"damaged or was removed; restore the folder from a copy, or go on without the lost changes with: "
            f"routeret verify {folder} --repair"
        )
