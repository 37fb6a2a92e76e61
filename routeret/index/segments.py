"""Vector segments: append-only raw fp16 files, written whole before the store names them, read as memory maps."""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import sync_folder
from routeret.errors import ArtifactError
from routeret.types import FloatArray, IntArray

VECTORS = "vectors"
_FILE = re.compile(r"\d{6}\.f16")
_BLOCK_ROWS = 8192

HalfArray = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Segment:
    """The vectors of one finished ``add``.

    Attributes:
        space: fingerprint of the space.
        file: name of the file below ``vectors/<space>``.
        first_row: the index row of its first vector.
        n_rows: how many vectors.
        dim: length of a vector.
        sha256: 64 hexadecimal digits of the file's content.
    """

    space: str
    file: str
    first_row: int
    n_rows: int
    dim: int
    sha256: str

    def path(self, folder: Path) -> Path:
        """Where the file stands in an index folder."""
        return folder / VECTORS / self.space / self.file

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return self.n_rows * self.dim * 2


class SegmentWriter:
    """Writes one new segment; unless it was finished, nothing stays behind when the block ends.

    A finished file stays whatever happens then: the commit that names it may have come through, and if it has not,
    the next writer removes the file.
    """

    def __init__(self, folder: Path, *, space: str, number: int, first_row: int, dim: int) -> None:
        """Name the file; it is made when the block is entered.

        Args:
            folder: the index's folder.
            space: fingerprint of the space.
            number: how many segments the space has.
            first_row: the index row of the first vector to come.
            dim: length of a vector.
        """
        self._empty = Segment(space, f"{number:06d}.f16", first_row, 0, dim, "")
        self._path = self._empty.path(folder)
        self._hash = hashlib.sha256()
        self._n_rows = 0
        self._finished = False

    def __enter__(self) -> "SegmentWriter":
        """Make the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self._path.open("xb")
        return self

    def append(self, vectors: HalfArray) -> None:
        """Write vectors, fp16, shape (n, dim), behind the ones before."""
        content = np.ascontiguousarray(vectors, dtype="<f2").tobytes()
        self._file.write(content)
        self._hash.update(content)
        self._n_rows += len(vectors)

    def finish(self) -> Segment:
        """Make the file and its name durable, and give what the store must keep of it."""
        self._file.flush()
        os.fsync(self._file.fileno())
        for folder in (self._path.parent, self._path.parent.parent, self._path.parent.parent.parent):
            sync_folder(folder)
        self._finished = True
        empty = self._empty
        return Segment(empty.space, empty.file, empty.first_row, self._n_rows, empty.dim, self._hash.hexdigest())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, and remove it unless it was finished."""
        self._file.close()
        if not self._finished:
            self._path.unlink(missing_ok=True)


class VectorFile:
    """All vectors of an index as read-only memory maps, one a segment; opening reads none of them."""

    def __init__(self, folder: Path, segments: Sequence[Segment], *, dim: int) -> None:
        """Map the files.

        Args:
            folder: the index's folder.
            segments: in row order, without gaps.
            dim: length of a vector.

        Raises:
            ArtifactError: a file is missing or of the wrong size.
        """
        self.dim = dim
        self.n_rows = sum(segment.n_rows for segment in segments)
        self.n_bytes = sum(segment.n_bytes for segment in segments)
        self._first_rows = np.array([segment.first_row for segment in segments], dtype=np.int64)
        self._maps = [_map(folder, segment) for segment in segments]

    def __len__(self) -> int:
        """How many segments."""
        return len(self._maps)

    def blocks(self) -> Iterator[FloatArray]:
        """All vectors in row order, float32, some thousand rows at a time."""
        for mapped in self._maps:
            for start in range(0, len(mapped), _BLOCK_ROWS):
                yield mapped[start : start + _BLOCK_ROWS].astype(np.float32)

    def take(self, rows: IntArray) -> FloatArray:
        """Vectors of some rows, float32, shape (n, dim), in the order asked for; rows must exist."""
        taken = np.empty((len(rows), self.dim), dtype=np.float32)
        segment_of = np.searchsorted(self._first_rows, rows, side="right") - 1
        for number in np.unique(segment_of):
            here = segment_of == number
            taken[here] = self._maps[number][rows[here] - self._first_rows[number]]
        return taken


def remove_orphans(folder: Path, segments: Sequence[Segment]) -> None:
    """Remove segment files that no commit names, left by a writer that died; only the writer may call this.

    Args:
        folder: the index's folder.
        segments: all segments that the last commit names.
    """
    named = {segment.path(folder) for segment in segments}
    for path in (folder / VECTORS).glob("*/*.f16"):
        if _FILE.fullmatch(path.name) and path not in named:
            path.unlink()


def _map(folder: Path, segment: Segment) -> HalfArray:
    path = segment.path(folder)
    next_step = "restore the folder from a copy, or build the index again"
    try:
        found = path.stat().st_size
    except FileNotFoundError as error:
        raise ArtifactError(f"{path} is missing, and the index's last commit names it; {next_step}") from error
    if found != segment.n_bytes:
        raise ArtifactError(
            f"{path} has {found} bytes, expected {segment.n_bytes} ({segment.n_rows} vectors of "
            f"{segment.dim} numbers); {next_step}"
        )
    return np.memmap(path, dtype="<f2", mode="r", shape=(segment.n_rows, segment.dim))
