"""Which experts of a pool were trained over which documents of an index."""

import hashlib
import threading
from collections.abc import Collection, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from routeret.experts.fingerprints import FingerprintTable, fingerprints
from routeret.experts.sketch import are_among, short_keys, short_of, sketch_in, sorted_once
from routeret.index import Index
from routeret.protocols import PoolMember
from routeret.ranges import expanded
from routeret.space import Space
from routeret.types import BoolArray, HashArray, IntArray

MOST_AHEAD = 100_000
"""How many documents are looked up before anybody asks for them, at most: about a second's work."""

_AT_ONCE = 1024

_NOT_ASKED = -1
"""Stands for the group of a document that nobody has asked for."""


class Knowledge:
    """What some experts were trained over, laid out once for any index of a space.

    A document is known by its content, or by a fingerprint that hardly differs from that of one of its spans.
    """

    def __init__(self, experts: Sequence[PoolMember], space: Space) -> None:
        """Put the keys of all experts into one table, and their fingerprints into another.

        Args:
            experts: a column of the answers each.
            space: of the vectors that fingerprints are taken from.
        """
        self.n_experts = len(experts)
        self._keys, self._owners = _owners_by_key([short_keys(expert.known_documents) for expert in experts])
        sketches = [sketch_in(expert, space) for expert in experts]
        nothing = np.zeros(0, dtype=np.uint64)
        codes = [nothing if sketch is None else sketch.fingerprints for sketch in sketches]
        self._codes, self._sketchers = _owners_by_key(codes)
        self._table = FingerprintTable(self._codes)
        radii = np.array([-1 if sketch is None else sketch.radius for sketch in sketches], dtype=np.int64)
        self._radius = int(radii.max(initial=0))
        # By distance, which experts it is near enough for.
        self._within = np.packbits(radii >= np.arange(self._radius + 1)[:, None], axis=1)

    @cached_property
    def digest(self) -> str:
        """32 hexadecimal digits, others for experts that know other documents."""
        told = hashlib.blake2b(str(self.n_experts).encode(), digest_size=16)
        for array in (self._keys, self._owners, self._codes, self._sketchers, self._within):
            told.update(str(array.shape).encode())
            told.update(np.ascontiguousarray(array).data)
        return told.hexdigest()

    def of(self, index: Index, numbers: IntArray) -> NDArray[np.uint8]:
        """Which experts know some documents of an index, a bit an expert, shape (n_documents, n_bytes)."""
        knows = self._near(index, numbers)
        if len(self._keys):
            keys = index.content_keys(numbers)
            is_known = np.flatnonzero(are_among(keys, self._keys))
            knows[is_known] |= self._owners[np.searchsorted(self._keys, short_of(keys[is_known]))]
        return knows

    def unpacked(self, bits: Collection[bytes]) -> BoolArray:
        """Lines that :meth:`of` gave, shape (n_lines, n_experts)."""
        packed = np.frombuffer(b"".join(bits), dtype=np.uint8).reshape(len(bits), self._owners.shape[1])
        return np.unpackbits(packed, axis=1, count=self.n_experts).view(np.bool_)

    def _near(self, index: Index, numbers: IntArray) -> NDArray[np.uint8]:
        """Which experts keep a fingerprint that hardly differs from that of a span, shape (n_documents, n_bytes)."""
        found = np.zeros((len(numbers), self._owners.shape[1]), dtype=np.uint8)
        if len(self._codes) == 0 or len(numbers) == 0:
            return found
        first, end = index.rows_of(numbers)
        spans = end - first
        document = np.repeat(np.arange(len(numbers)), spans)
        rows = expanded(first, spans)
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            vectors = index.vectors(rows[part])
            is_something = vectors.any(axis=1)
            asked, known, distances = self._table.near(fingerprints(vectors[is_something]), radius=self._radius)
            near = document[part][is_something][asked]
            _unite(found, near, self._sketchers[known] & self._within[distances])
        return found


class Groups(NamedTuple):
    """Documents by who knows them.

    Attributes:
        numbers: int32, of any shape; the group of every document.
        known: shape (n_groups, n_experts); which experts know the documents of each group.
    """

    numbers: NDArray[np.int32]
    known: BoolArray


class KnownDocuments:
    """Tells, of the documents of an index, which experts know them; what was looked up once is kept.

    Those that the same experts know are a group. Experts are trained over whole corpora, so there are few groups,
    however many documents.
    """

    def __init__(
        self,
        index: Index,
        experts: Sequence[PoolMember],
        *,
        knowledge: Knowledge | None = None,
        before: "KnownDocuments | None" = None,
    ) -> None:
        """Take an index and some experts; neither may change afterwards.

        Args:
            index: as it is now.
            experts: a column of the answers each.
            knowledge: of the same experts in the index's space; None lays it out.
            before: of the same experts and the index as it was before. What was looked up there is kept, unless the
                documents have got other numbers since.
        """
        self._index = index
        self._generation = index.generation
        self._knowledge = Knowledge(experts, index.space) if knowledge is None else knowledge
        self._grouping = threading.Lock()
        self._group_by_bits: dict[bytes, int] = {}
        self._known: BoolArray = np.zeros((0, len(experts)), dtype=np.bool_)
        self._groups = np.full(index.n_numbers, _NOT_ASKED, dtype=np.int32)
        if before is not None and before._generation == self._generation:
            # Inside a generation a number stands for the same document for ever.
            with before._grouping:
                n_common = min(len(before._groups), index.n_numbers)
                self._groups[:n_common] = before._groups[:n_common]
                self._group_by_bits, self._known = dict(before._group_by_bits), before._known

    def groups(self, numbers: IntArray) -> Groups:
        """The groups of some documents, and who knows which group.

        Args:
            numbers: of documents that are there, of any shape.
        """
        groups = self._groups[numbers]
        if groups.min(initial=0) == _NOT_ASKED:
            self._look_up(sorted_once(numbers[groups == _NOT_ASKED]))
            groups = self._groups[numbers]
        return Groups(groups, self._known)

    def by(self, numbers: IntArray) -> BoolArray:
        """Which experts know some documents, shape (n_documents, n_experts).

        Args:
            numbers: of documents that are there, of any shape, which the answer has, too.
        """
        groups, known = self.groups(numbers)
        return known[groups]

    def look_ahead(self) -> None:
        """Look up the first documents that are there now, so that no query has to wait for it."""
        numbers = np.flatnonzero(self._index.live_documents)[:MOST_AHEAD]
        self._look_up(numbers[self._groups[numbers] == _NOT_ASKED])

    def _look_up(self, numbers: IntArray) -> None:
        """Keep who knows some documents that nobody has asked for, each once."""
        for start in range(0, len(numbers), _AT_ONCE):
            part = numbers[start : start + _AT_ONCE]
            knows = self._knowledge.of(self._index, part)
            with self._grouping:
                group_by_bits = self._group_by_bits
                groups = [group_by_bits.setdefault(bits.tobytes(), len(group_by_bits)) for bits in knows]
                if len(group_by_bits) > len(self._known):
                    self._known = self._knowledge.unpacked(group_by_bits)
                # Other threads read a group only once it is told who knows it.
                self._groups[part] = groups


def _unite(found: NDArray[np.uint8], lines: IntArray, bits: NDArray[np.uint8]) -> None:
    """Set the bits of some lines beside those that are set; a line may come more than once, and lines are in order."""
    firsts = np.flatnonzero(np.diff(lines, prepend=-1))
    found[lines[firsts]] |= np.bitwise_or.reduceat(bits, firsts, axis=0)


def _owners_by_key(known: Sequence[HashArray]) -> tuple[HashArray, NDArray[np.uint8]]:
    """The keys of all experts, sorted, each once, and which experts have each: a bit an expert."""
    union = sorted_once(np.concatenate([np.zeros(0, dtype=np.uint64), *known]))
    owners = np.zeros((len(union), -(-len(known) // 8)), dtype=np.uint8)
    for column, own in enumerate(known):
        byte, bit = divmod(column, 8)
        owners[np.searchsorted(union, own), byte] |= np.uint8(0x80 >> bit)
    return union, owners
