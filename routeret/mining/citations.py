"""A citation graph on disk, in a temporary database, so that neither its edges nor its pairs must fit in memory."""

import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from routeret.errors import ArtifactError

_DATABASE = "citations.sqlite"
_CACHE_KIB = 64 * 1024

# Keys that are the tables themselves are filled edge by edge; an index made afterwards would sort in another folder.
_TABLES = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA locking_mode = EXCLUSIVE;
CREATE TABLE listed (citing TEXT NOT NULL, cited TEXT NOT NULL);
CREATE TABLE ids (id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE papers (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE edges (citing INTEGER, cited INTEGER, PRIMARY KEY (citing, cited)) WITHOUT ROWID;
CREATE TABLE citers (cited INTEGER, citing INTEGER, PRIMARY KEY (cited, citing)) WITHOUT ROWID;
CREATE TABLE pairs (a INTEGER, b INTEGER, n INTEGER, is_kept INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID;
"""

_NUMBER = """
INSERT OR IGNORE INTO ids SELECT citing FROM listed;
INSERT OR IGNORE INTO ids SELECT cited FROM listed;
INSERT INTO papers (id) SELECT id FROM ids ORDER BY id;
INSERT OR IGNORE INTO edges
    SELECT one.row, two.row FROM listed JOIN papers one ON one.id = citing JOIN papers two ON two.id = cited;
DROP TABLE ids;
DROP TABLE listed;
"""

_BESIDE = """
SELECT edges.cited, count(*) FROM citers CROSS JOIN edges ON edges.citing = citers.citing
WHERE citers.cited = ?1 AND edges.cited >= ?2 AND edges.cited <> ?1 GROUP BY edges.cited ORDER BY edges.cited
"""

_KEPT = """
SELECT a, one.id, b, two.id, n FROM pairs JOIN papers one ON one.row = a JOIN papers two ON two.row = b
WHERE is_kept ORDER BY a, b
"""


class CitationGraph:
    """Papers, numbered in the order of their ids, and which of them cite which.

    First :meth:`add`, then :meth:`number`, then :meth:`leave_out`, then the questions. Memory is bounded by the cache
    of the database, whatever the size of the graph.
    """

    def __init__(self, folder: Path) -> None:
        """Make an empty graph.

        Args:
            folder: where the database stands; it grows to a few times the size of the edge list.
        """
        self._folder = folder
        self._connection = sqlite3.connect(folder / _DATABASE, isolation_level=None)
        with self._room():
            self._connection.executescript(f"PRAGMA cache_size = -{_CACHE_KIB};{_TABLES}BEGIN;")

    def close(self) -> None:
        """Let go of the database; the folder is its maker's to remove."""
        self._connection.close()

    def add(self, edges: Iterable[tuple[str, str]]) -> None:
        """Take pairs of ids, citing and cited; an edge may come any number of times.

        Raises:
            ArtifactError: the disk is full.
        """
        with self._room():
            self._connection.executemany("INSERT INTO listed VALUES (?, ?)", edges)

    def number(self) -> int:
        """Number the papers, and give how many different edges there are.

        Raises:
            ArtifactError: the disk is full.
        """
        with self._room():
            self._connection.executescript(_NUMBER)
        return self._one("SELECT count(*) FROM edges")

    @property
    def n_citing(self) -> int:
        """How many papers cite."""
        return self._one("SELECT count(DISTINCT citing) FROM edges")

    @property
    def n_cited(self) -> int:
        """How many documents are cited by a paper that was not left out; after :meth:`leave_out`."""
        return self._one("SELECT count(DISTINCT cited) FROM citers")

    def leave_out(self, *, most_references: int) -> dict[str, int]:
        """Remove the references of papers that have too many, and give their number by the paper's id.

        Args:
            most_references: a paper that cites more documents than this is left out.

        Raises:
            ArtifactError: the disk is full.
        """
        found = self._connection.execute(
            "SELECT row, id, n FROM (SELECT citing, count(*) AS n FROM edges GROUP BY citing HAVING n > ?) "
            "JOIN papers ON row = citing ORDER BY row",
            (most_references,),
        ).fetchall()
        with self._room():
            self._connection.executemany("DELETE FROM edges WHERE citing = ?", ((row,) for row, _, _ in found))
            self._connection.execute("INSERT INTO citers SELECT cited, citing FROM edges")
        return {paper_id: n for _, paper_id, n in found}

    def papers(self) -> Iterator[tuple[int, str]]:
        """Row (from 1) and id of every paper, in the order of ids."""
        return self._connection.execute("SELECT row, id FROM papers ORDER BY row")

    def cited(self) -> Iterator[int]:
        """The rows of the cited documents, rising."""
        for (row,) in self._connection.execute("SELECT DISTINCT cited FROM citers ORDER BY cited"):
            yield row

    def cited_with(self, row: int, *, from_row: int = 1) -> Iterator[tuple[int, int]]:
        """The documents that some paper cites together with one, rising, each with the number of such papers.

        More of them than the cache holds are sorted in the temporary folder of SQLite.

        Args:
            row: the one.
            from_row: leave out those before this row.
        """
        return self._connection.execute(_BESIDE, (row, from_row))

    def propose(self, row: int, others: Iterable[tuple[int, int]], *, is_kept: bool) -> None:
        """Write down pairs of a document with later ones; every pair once.

        Args:
            row: the document.
            others: the later rows and their counts.
            is_kept: the pairs stay; otherwise those stay that :meth:`confirm` names.

        Raises:
            ArtifactError: the disk is full.
        """
        with self._room():
            self._connection.executemany(
                "INSERT INTO pairs VALUES (?, ?, ?, ?)", ((row, other, n, is_kept) for other, n in others)
            )

    def confirm(self, row: int, others: Iterable[int]) -> None:
        """Keep pairs of a document with earlier ones, those among them that these have proposed."""
        with self._room():
            self._connection.executemany(
                "UPDATE pairs SET is_kept = 1 WHERE a = ? AND b = ?", ((other, row) for other in others)
            )

    def kept(self) -> Iterator[tuple[int, str, int, str, int]]:
        """Every pair that stays, in the order of ids: row and id of the first, row and id of the second, the count."""
        return self._connection.execute(_KEPT)

    def _one(self, question: str) -> int:
        return int(self._connection.execute(question).fetchone()[0])

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            free = shutil.disk_usage(self._folder).free
            raise ArtifactError(
                f"the citation graph cannot be kept in {self._folder} ({error}; {free:,} bytes are free); make room, "
                f"or write to another disk. Nothing was written"
            ) from error
