"""Which experts of a pool were trained over which documents of an index."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from routeret.experts.fingerprints import FingerprintTable, fingerprints
from routeret.experts.sketch import are_among, short_keys, short_of, sketch_in
from routeret.index import Index
from routeret.protocols import PoolMember
from routeret.types import BoolArray, HashArray, IntArray

_AT_ONCE = 1024


class KnownDocuments:
    """Tells, of the documents of an index, which experts know them; what was looked up once is kept.

    An expert knows a document if it was trained over one with the same content, or if its sketch holds a fingerprint
    that hardly differs from that of one of the document's spans.
    """

    def __init__(self, index: Index, experts: Sequence[PoolMember]) -> None:
        """Take an index and some experts; neither may change afterwards.

        Args:
            index: as it is now.
            experts: a column of the answers each.
        """
        self._index = index
        self._n_experts = len(experts)
        self._keys, self._owners = _owners_by_key([short_keys(expert.known_documents) for expert in experts])
        self._is_kept = np.zeros(index.n_numbers, dtype=np.bool_)
        self._kept = np.zeros((index.n_numbers, -(-len(experts) // 8)), dtype=np.uint8)
        self._sketched = _SketchedExperts(index, experts)

    def by(self, numbers: IntArray) -> BoolArray:
        """Which experts know some documents, shape (n_documents, n_experts).

        Args:
            numbers: of documents that are there, each once.
        """
        new = numbers[~self._is_kept[numbers]]
        for start in range(0, len(new), _AT_ONCE):
            part = new[start : start + _AT_ONCE]
            self._kept[part] = np.packbits(self._look_up(part), axis=1)
            # Other threads read what is kept only once it is there.
            self._is_kept[part] = True
        return np.unpackbits(self._kept[numbers], axis=1, count=self._n_experts).view(np.bool_)

    def _look_up(self, numbers: IntArray) -> BoolArray:
        knows = self._sketched.near(numbers)
        if len(self._keys):
            keys = self._index.content_keys(numbers)
            is_known = np.flatnonzero(are_among(keys, self._keys))
            places = np.searchsorted(self._keys, short_of(keys[is_known]))
            knows[is_known] |= np.unpackbits(self._owners[places], axis=1, count=self._n_experts).view(np.bool_)
        return knows


def _owners_by_key(known: Sequence[HashArray]) -> tuple[HashArray, NDArray[np.uint8]]:
    """The keys of all experts, sorted, each once, and which experts have each: a bit an expert."""
    union = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *known]))
    owners = np.zeros((len(union), -(-len(known) // 8)), dtype=np.uint8)
    for column, own in enumerate(known):
        byte, bit = divmod(column, 8)
        owners[np.searchsorted(union, own), byte] |= np.uint8(0x80 >> bit)
    return union, owners


class _SketchedExperts:
    """The experts that keep fingerprints in an index's space, looked up together."""

    def __init__(self, index: Index, experts: Sequence[PoolMember]) -> None:
        """Put all fingerprints into one table."""
        self._index = index
        sketches = [sketch_in(expert, index.space) for expert in experts]
        self._radii = np.array([-1 if sketch is None else sketch.radius for sketch in sketches], dtype=np.int64)
        nothing = np.zeros(0, dtype=np.uint64)
        codes = [nothing if sketch is None else sketch.fingerprints for sketch in sketches]
        union = np.unique(np.concatenate([nothing, *codes]))
        self._owners = np.zeros((len(union), len(codes)), dtype=np.bool_)
        for column, own in enumerate(codes):
            self._owners[np.searchsorted(union, own), column] = True
        self._table = FingerprintTable(union)

    def near(self, numbers: IntArray) -> BoolArray:
        """Which experts keep a fingerprint that hardly differs from that of a span, shape (n_documents, n_experts)."""
        found = np.zeros((len(numbers), len(self._radii)), dtype=np.bool_)
        if len(self._owners) == 0 or len(numbers) == 0:
            return found
        first, end = self._index.rows_of(numbers)
        spans = end - first
        document = np.repeat(np.arange(len(numbers)), spans)
        rows = np.arange(spans.sum()) + np.repeat(first - (np.cumsum(spans) - spans), spans)
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            vectors = self._index.vectors(rows[part])
            is_something = vectors.any(axis=1)
            asked, known, distances = self._table.near(fingerprints(vectors[is_something]))
            owners = self._owners[known] & (distances[:, None] <= self._radii)
            np.logical_or.at(found, document[part][is_something][asked], owners)
        return found
