"""What a full-text folder says about itself: what it covers, and how each of its files must look."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from routeret.artifact import MANIFEST, write_file
from routeret.errors import ArtifactError
from routeret.index.lexical.files import Extent
from routeret.index.lexical.tokens import PARAMETERS

KIND = "fulltext"
FORMAT = 2

CHANGING = ("meta.json", ".managed.json")
"""Those of tantivy's files that are written over; all others are written once."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Which documents a full text knows.

    Attributes:
        generation: the index's generation; numbers mean the same inside one only.
        n_documents: all documents with lower numbers are in.
    """

    generation: int
    n_documents: int


@dataclass(frozen=True, slots=True)
class State:
    """One commit of a full-text folder.

    Attributes:
        generation: see :class:`Covered`.
        terms: how far the terms' files count.
        n_in_engine: documents with lower numbers are in tantivy's index.
        engine_documents: how many documents tantivy has; numbers without a text are not among them.
        engine_tokens: how many tokens tantivy has.
    """

    generation: int
    terms: Extent = field(default_factory=Extent)
    n_in_engine: int = 0
    engine_documents: int = 0
    engine_tokens: int = 0

    @property
    def covered(self) -> Covered:
        """Which documents it knows."""
        return Covered(self.generation, self.terms.n_documents)


@dataclass(frozen=True, slots=True)
class FileMark:
    """How a file must look."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "FileMark":
        """How a file looks now."""
        with path.open("rb") as file:
            return cls(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        state: the last commit that ended well.
        next_state: the commit that is being made, or was when the writer was killed. It holds if tantivy's index has
            its documents, since tantivy's own commit is the last step.
        engine_files: tantivy's files at ``state``, by name.
    """

    state: State
    next_state: State | None = None
    engine_files: Mapping[str, FileMark] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write it durably, whole or not at all."""
        fields = {**asdict(self), "kind": KIND, "format": FORMAT, "parameters": PARAMETERS}
        write_file(folder / MANIFEST, _as_bytes({**fields, "checksum": _checksum(fields)}))

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest of a folder.

        Raises:
            ArtifactError: it is missing, damaged, or of another format; or scores were computed otherwise then.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise ArtifactError(f"{folder} has no {MANIFEST}; it is not a routeret {KIND}, or was never finished")
        content = path.read_bytes()
        try:
            fields = json.loads(content)
            found = fields.pop("checksum"), fields["kind"], fields["format"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{path} is damaged: {error!r}; build the full text again") from error
        if found[1:] != (KIND, FORMAT):
            raise ArtifactError(
                f"{folder} is a {found[1]!r} of format {found[2]}, this version reads a {KIND!r} of format {FORMAT}; "
                "build the full text again"
            )
        # A changed blank counts too, so that no byte of the file can change unnoticed.
        if found[0] != _checksum(fields) or content != _as_bytes({**fields, "checksum": found[0]}):
            raise ArtifactError(f"{path} is damaged: its checksum differs; build the full text again")
        if fields["parameters"] != PARAMETERS:
            raise ArtifactError(
                f"{folder} is stale: it scores by {fields['parameters']}, expected {PARAMETERS}; build it again"
            )
        return cls(
            state=_state(fields["state"]),
            next_state=_state(fields["next_state"]) if fields["next_state"] else None,
            engine_files={name: FileMark(**mark) for name, mark in fields["engine_files"].items()},
        )


def _state(fields: dict[str, Any]) -> State:
    return State(**{**fields, "terms": Extent(**fields["terms"])})


def _checksum(fields: dict[str, Any]) -> str:
    return hashlib.sha256(_as_bytes(fields)).hexdigest()


def _as_bytes(fields: dict[str, Any]) -> bytes:
    return (json.dumps(fields, indent=2, sort_keys=True) + "\n").encode()
