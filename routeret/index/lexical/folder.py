"""A full-text folder: made, brought up to date and opened; a kill at any moment leaves one commit or the next."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from routeret.artifact import new_folder
from routeret.errors import ArtifactError, InputError
from routeret.index.lexical.engine import Candidates, add_documents
from routeret.index.lexical.files import append_terms, read_terms
from routeret.index.lexical.manifest import CHANGING, Covered, FileMark, Manifest, State
from routeret.index.lexical.terms import ABSENT, DocumentTerms
from routeret.index.lexical.tokens import MAX_COUNT
from routeret.types import IntArray

T = TypeVar("T")

ENGINE = "engine"

MANY_DOCUMENTS = 2048
MANY_ENTRIES = 1 << 18
"""Fewer are searched without tantivy in a millisecond or two, and cost far less to commit; more go into it."""

_ATTEMPTS = 20
_DOCUMENTS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Opened:
    """What a folder holds at one commit.

    Attributes:
        state: the commit.
        terms: of every document.
        candidates: finds documents among those that tantivy has; None where it has none.
    """

    state: State
    terms: DocumentTerms
    candidates: Candidates | None


def build(folder: Path, texts: Iterable[tuple[int, str]], *, covered: Covered) -> None:
    """Write a folder whole or not at all, in place of one that stands there.

    Args:
        folder: the folder to write.
        texts: numbers, in rising order, and title and text of the documents; read once. Numbers may be left out.
        covered: what the folder covers then.

    Raises:
        InputError: a number is not above the one before it, or not below ``covered.n_documents``.
        ArtifactError: the folder cannot be written.
    """
    with new_folder(folder, replace=True) as temporary:
        Manifest(State(covered.generation)).write(temporary)
        update(temporary, texts, covered=covered)


def update(folder: Path, texts: Iterable[tuple[int, str]], *, covered: Covered) -> None:
    """Add documents durably: all of them or, whatever happens, none. The caller is the only writer.

    Args:
        folder: what :func:`build` wrote.
        texts: the numbers from the end of what is covered on, in rising order, and title and text of the documents;
            read once. Numbers may be left out.
        covered: what the folder covers then.

    Raises:
        InputError: a number is not above the one before it, or not one of the new ones; or fewer documents are to be
            covered than now.
        ArtifactError: the folder is damaged, of another generation, or cannot be written.
    """
    manifest = _settled(folder)
    state = manifest.state
    if covered.generation != state.generation:
        raise ArtifactError(
            f"{folder} is stale: generation {state.generation}, the index has {covered.generation}; build it again"
        )
    if covered.n_documents < state.covered.n_documents:
        raise InputError(
            f"{folder} covers {state.covered.n_documents} documents, {covered.n_documents} were asked for; build it "
            "again to cover fewer"
        )
    extent = append_terms(folder, texts, extent=state.terms, n_documents=covered.n_documents)
    state = replace(state, terms=extent)
    if not _are_many(read_terms(folder, extent), state.n_in_engine):
        replace(manifest, state=state).write(folder)
        return
    next_state = _with_engine(folder, state)
    if next_state.engine_documents == state.engine_documents:
        replace(manifest, state=next_state).write(folder)
        return
    replace(manifest, next_state=next_state).write(folder)
    (folder / ENGINE).mkdir(exist_ok=True)
    blocks = _blocks(folder, state)
    add_documents(
        folder / ENGINE, ((number, terms.entries(number)) for terms, numbers in blocks for number in numbers.tolist())
    )
    _settled(folder)


def covered_of(folder: Path) -> Covered | None:
    """What a folder covers; None where nothing stands that :func:`update` can go on from."""
    try:
        return open_folder(folder).state.covered
    except ArtifactError:
        return None


def open_folder(folder: Path) -> Opened:
    """What a folder holds now; it stays as it is, whatever a writer does.

    Raises:
        ArtifactError: the folder is missing, damaged, or stale; build it again.
    """
    return _steadily(folder, _opened)


def _steadily(folder: Path, read: Callable[[Path, Manifest], T]) -> T:
    """What is read by one manifest; once more where a writer went on in between, since that mixes two commits."""
    for _ in range(_ATTEMPTS):
        manifest = Manifest.read(folder)
        try:
            found = read(folder, manifest)
        except ArtifactError:
            if Manifest.read(folder) == manifest:
                raise
            continue
        if Manifest.read(folder) == manifest:
            return found
    raise ArtifactError(f"{folder} changed {_ATTEMPTS} times while it was being opened; try again")


def resolved(folder: Path, manifest: Manifest) -> tuple[State, Candidates | None]:
    """The commit that holds, and tantivy's index opened.

    Raises:
        ArtifactError: tantivy's index is missing, damaged, or of neither commit.
    """
    candidates = Candidates(folder / ENGINE) if (folder / ENGINE / "meta.json").is_file() else None
    found = 0 if candidates is None else len(candidates)
    states = [state for state in (manifest.state, manifest.next_state) if state is not None]
    for state in states:
        if state.engine_documents == found:
            return state, candidates
    expected = " or ".join(str(state.engine_documents) for state in states)
    raise ArtifactError(f"{folder / ENGINE} holds {found} documents, expected {expected}; build the full text again")


def _opened(folder: Path, manifest: Manifest) -> Opened:
    state, candidates = resolved(folder, manifest)
    # While a commit is being made, tantivy changes its files under the reader's eyes.
    marks = manifest.engine_files if manifest.next_state is None else {}
    for name, mark in marks.items():
        path = folder / ENGINE / name
        found = path.stat().st_size if path.is_file() else 0
        if found != mark.n_bytes:
            raise ArtifactError(f"{path} has {found} bytes, expected {mark.n_bytes}; build the full text again")
    return Opened(state, read_terms(folder, state.terms), candidates)


def _settled(folder: Path) -> Manifest:
    """The manifest after it was made to say which commit holds and how tantivy's files look."""
    manifest = Manifest.read(folder)
    if manifest.next_state is None:
        return manifest
    state, _ = resolved(folder, manifest)
    marks = {}
    for path in sorted((folder / ENGINE).iterdir()):
        # A segment's files never change, so that a commit reads only what it wrote.
        known = None if path.name in CHANGING else manifest.engine_files.get(path.name)
        marks[path.name] = known or FileMark.of(path)
    settled = Manifest(state, engine_files=marks)
    settled.write(folder)
    return settled


def _are_many(terms: DocumentTerms, start: int) -> bool:
    return len(terms) - start >= MANY_DOCUMENTS or terms.n_entries(start) >= MANY_ENTRIES


def _with_engine(folder: Path, state: State) -> State:
    """The commit after tantivy was given all documents."""
    n_documents, n_tokens = 0, 0
    for terms, numbers in _blocks(folder, state):
        n_documents += len(numbers)
        n_tokens += sum(int((entries & np.uint64(MAX_COUNT)).sum()) for _, entries, _ in terms.parts(numbers))
    return replace(
        state,
        n_in_engine=state.terms.n_documents,
        engine_documents=state.engine_documents + n_documents,
        engine_tokens=state.engine_tokens + n_tokens,
    )


def _blocks(folder: Path, state: State) -> Iterator[tuple[DocumentTerms, IntArray]]:
    """The documents that tantivy does not have: their terms and numbers.

    Every block maps the files anew, so that what was read does not stay in the memory of the process.
    """
    for start in range(state.n_in_engine, state.terms.n_documents, _DOCUMENTS_AT_ONCE):
        terms = read_terms(folder, state.terms)
        yield terms, start + np.flatnonzero(terms.tokens[start : start + _DOCUMENTS_AT_ONCE] != ABSENT)
