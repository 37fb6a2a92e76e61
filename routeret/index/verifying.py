"""Whether everything in an index folder is as it was written."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from routeret.errors import ArtifactError
from routeret.index import lexical
from routeret.index.derived import FULLTEXT
from routeret.index.fields import damaged_fields
from routeret.index.schema import STORE
from routeret.index.segments import damaged_files
from routeret.index.snapshot import Snapshot
from routeret.index.store import Store
from routeret.index.store_writer import document_digest, stored_key
from routeret.index.structures.ann import ANN, damaged
from routeret.index.tokens import StoredTokens, token_streams
from routeret.index.witness import WITNESS, read_witness, require_commit

_NEXT_STEP = "restore the folder from a copy, or build the index again"


@dataclass(frozen=True, slots=True)
class Damage:
    """One thing that is not as it was written.

    Attributes:
        path: the file.
        reason: what is wrong, and the next step.
        derived: whether the file can be made again from the others.
    """

    path: str
    reason: str
    derived: bool

    def as_dict(self) -> dict[str, object]:
        """Plain JSON values."""
        return asdict(self)


def verify_index(folder: Path) -> list[Damage]:
    """Everything that is wrong with an index; reads every file once.

    Where the index changes meanwhile, what seems to be wrong is looked at again.

    Args:
        folder: the index's folder.
    """
    while True:
        before = _commit(folder)
        found = _damage(folder)
        if not found or _commit(folder) == before:
            return found


def _commit(folder: Path) -> int | None:
    """The store's commit; None where nobody can tell."""
    try:
        with closing(Store(folder)) as store:
            return store.commit()
    except (ArtifactError, sqlite3.Error, ValueError):
        return None


def _damage(folder: Path) -> list[Damage]:
    found: list[Damage] = []
    witnessed = None
    try:
        witnessed = read_witness(folder)
    except ArtifactError as error:
        found.append(Damage(str(folder / WITNESS), str(error), derived=True))
    try:
        with closing(Store(folder)) as store:
            if witnessed is not None:
                require_commit(folder, witnessed=witnessed, found=store.commit())
            in_store = [Damage(str(folder / STORE), reason, derived=False) for reason in _store_damage(store)]
            # Where the store is damaged, its checksums tell nothing of the vectors.
            found += in_store or _vector_damage(folder, store)
    except ArtifactError as error:
        found.append(Damage(str(folder / STORE), str(error), derived=False))
    except (sqlite3.Error, ValueError, TypeError, KeyError, OverflowError) as error:
        # Damage inside a value shows in whatever reads it.
        found.append(Damage(str(folder / STORE), f"{type(error).__name__}: {error}", derived=False))
    return [*found, *_derived_damage(folder)]


def _derived_damage(folder: Path) -> Iterator[Damage]:
    if (folder / FULLTEXT).exists():
        for path, reason in lexical.verify(folder / FULLTEXT):
            yield Damage(str(path), reason, derived=True)
    for structure in sorted((folder / ANN).glob("[!.]*")):
        for reason in damaged(structure):
            yield Damage(str(structure), reason, derived=True)


def _vector_damage(folder: Path, store: Store) -> Iterator[Damage]:
    snapshot = store.snapshot()
    found = False
    for stream, row_format in store.streams().items():
        segments = snapshot.segments_of(stream)
        for segment, reason in damaged_files(folder, segments, row_format=row_format, digests_of=store.digests):
            found = True
            yield Damage(str(segment.path(folder)), reason, derived=False)
    if found:
        return
    for fingerprint, row_format in store.token_formats().items():
        if StoredTokens(folder, snapshot, space=fingerprint, row_format=row_format).ends_differ():
            reason = f"the tokens of space {fingerprint} do not end where its rows' do; {_NEXT_STEP}"
            yield Damage(str(folder / STORE), reason, derived=False)


def _store_damage(store: Store) -> Iterator[str]:
    """What is wrong inside the store, in words, one cause after the other."""
    problems = [text for (text,) in store.select("PRAGMA integrity_check(3)") if text != "ok"]
    if problems:
        yield f"SQLite finds: {'; '.join(problems)}; {_NEXT_STEP}"
        return
    for fingerprint, (space, _) in store.spaces().items():
        if space.fingerprint != fingerprint:
            yield f"space {fingerprint} has the content of space {space.fingerprint}; {_NEXT_STEP}"
    for file in store.damaged_segments():
        yield f"what it keeps of vector file {file} is not what was written; {_NEXT_STEP}"
        return
    snapshot = store.snapshot()
    reason = _numbering_damage(store, snapshot)
    if reason:
        yield f"{reason}; {_NEXT_STEP}"
        return
    for number in _damaged_documents(store, snapshot):
        yield f"the document of number {number} is not what was written; {_NEXT_STEP}"
        return
    if damaged_fields(store.select):
        yield f"the table of metadata fields does not agree with the documents; {_NEXT_STEP}"


def _numbering_damage(store: Store, snapshot: Snapshot) -> str | None:
    """Where ranges, removed documents, rows and segments do not fit together."""
    number = row = 0
    for one in snapshot.ranges:
        if (one.first_document, one.first_row) != (number, row):
            return f"a range begins at number {one.first_document} and row {one.first_row}, not at {number} and {row}"
        number, row = one.end_document, one.end_row
    ((n_spans, last_row),) = store.select("SELECT count(*), coalesce(max(row) + 1, 0) FROM spans")
    if (n_spans, last_row) != (row, row):
        return f"there are {n_spans} spans up to row {last_row}, expected {row}"
    stored = [number for (number,) in store.select("SELECT number FROM documents")]
    gone = snapshot.removed[:, 0].tolist()
    if sorted(stored + gone) != list(range(number)):
        return f"{len(stored)} stored and {len(gone)} removed documents are not the numbers 0 to {number - 1}"
    return _stream_damage(store, snapshot, n_rows=row)


def _stream_damage(store: Store, snapshot: Snapshot, *, n_rows: int) -> str | None:
    """Where the segments of a space or of its tokens do not fit together, or hold more rows than there are."""
    streams = store.streams()
    unknown = {segment.space for segment in snapshot.segments} - set(streams)
    if unknown:
        return f"there are segments of {min(unknown)}, which is no space"
    for stream in streams:
        end = 0
        for segment in snapshot.segments_of(stream):
            if segment.first_row != end:
                return f"segment {segment.file} of {stream} begins at row {segment.first_row}, not at {end}"
            end = segment.end_row
    tokens = {token_streams(fingerprint)[0] for fingerprint in store.spaces()}
    for stream in sorted(streams.keys() - tokens):
        if snapshot.covers(stream) > n_rows:
            return f"the segments of {stream} hold {snapshot.covers(stream)} rows, the store {n_rows}"
    return None


def _damaged_documents(store: Store, snapshot: Snapshot) -> Iterator[int]:
    """Numbers of documents whose content, spans or rows are not those that were written."""
    end = snapshot.n_stored_numbers
    next_rows = dict(zip(snapshot.removed[:, 0].tolist(), snapshot.removed[:, 1:].tolist(), strict=True))
    row = 0
    for start in range(0, end, 1000):
        stored = {
            values[0]: values[1:]
            for values in store.select(
                "SELECT number, metadata, content_key, first_row, n_rows, digest FROM documents "
                "WHERE number >= ? AND number < ?",
                start,
                start + 1000,
            )
        }
        documents = store.documents(list(stored))
        for number in range(start, min(start + 1000, end)):
            if number in next_rows:
                first_row, n_rows = next_rows[number]
            else:
                metadata, key, first_row, n_rows, digest = stored[number]
                spans = _spans(store, first_row, n_rows, number)
                document = documents[number]
                expected = document_digest(document, metadata=metadata, key=key, spans=spans)
                if digest != expected or key != stored_key(document):
                    yield number
            if first_row != row or n_rows < 1:
                yield number
            row = first_row + n_rows


def _spans(store: Store, first_row: int, n_rows: int, number: int) -> tuple[tuple[int, int], ...]:
    found = store.select(
        "SELECT document, start, end FROM spans WHERE row >= ? AND row < ? ORDER BY row", first_row, first_row + n_rows
    )
    return tuple((start, end) for document, start, end in found if document == number)
