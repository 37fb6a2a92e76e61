"""Short codes of documents' vectors, by which nearly equal documents are found again."""

import hashlib
from functools import lru_cache

import numkong
import numpy as np
from numpy.typing import NDArray

from routeret.ranges import expanded
from routeret.types import FloatArray, HashArray, IntArray

MOST_RADIUS = 6
"""In how many bits two fingerprints differ at most where their documents count as nearly equal."""

_BITS = 64
_BANDS = 4
_BAND_VALUES = 1 << (_BITS // _BANDS)
_AT_ONCE = 256
_PAIRS = 20_000
_TYPICAL_PART = 4


def fingerprints(vectors: FloatArray) -> HashArray:
    """A code of 64 bits for every vector; the smaller the angle between two vectors, the fewer bits differ.

    A bit tells on which side of a plane a vector lies (Charikar, STOC 2002, section 3). The planes' normals have
    coordinates of 1 and -1 only (as in Achlioptas, JCSS 2003), which come from SHAKE-256, so every machine has the
    same.

    Args:
        vectors: float32, shape (n, dim).

    Returns:
        uint64, shape (n,).
    """
    # The product runs in the calling thread: those of a BLAS would go on spinning while the next query is encoded.
    products = numkong.dots_packed(np.ascontiguousarray(vectors), _planes(vectors.shape[1]))
    return np.packbits(np.asarray(products) > 0, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)


def radius_of(codes: HashArray, *, seed: int = 0) -> int:
    """In how many bits a document may differ from one of some documents and still count as nearly equal to it.

    A quarter of what two of the documents differ in typically, at most :data:`MOST_RADIUS`. So a base model that
    presses all vectors into a narrow cone does not make everything equal.

    Args:
        codes: of the documents, uint64, shape (n,).
        seed: which pairs are looked at.

    Returns:
        0 to :data:`MOST_RADIUS`; 0 for fewer than two documents.
    """
    if len(codes) < 2:
        return 0
    first, second = np.random.default_rng(seed).integers(0, len(codes), size=(2, _PAIRS))
    distances = np.bitwise_count(codes[first] ^ codes[second])[first != second]
    return min(int(np.median(distances)) // _TYPICAL_PART, MOST_RADIUS)


class FingerprintTable:
    """Finds the fingerprints that differ in a few bits from others, without looking at all of them.

    Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012, section 3): of four bands of 16 bits, one differs in a
    bit at most where all 64 differ in seven at most, and one is equal where they differ in three at most. So the codes
    that have a band in common, or nearly, are all that need comparing.
    """

    def __init__(self, codes: HashArray) -> None:
        """Sort the codes by every band.

        Args:
            codes: uint64, shape (n,), each once.
        """
        self._codes = codes
        bands = _bands(codes)
        # All codes by the first band, then all by the second and so on; of each value, where its codes begin.
        self._order = np.concatenate([np.argsort(bands[:, band], kind="stable") for band in range(_BANDS)])
        counts = np.bincount(_by_band(bands).ravel(), minlength=_BANDS * _BAND_VALUES)
        self._starts: IntArray = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    def near(self, codes: HashArray, *, radius: int = MOST_RADIUS) -> tuple[IntArray, IntArray, NDArray[np.uint8]]:
        """The pairs of a code and one of the table that differ in a few bits at most.

        Args:
            codes: uint64, shape (n,).
            radius: in how many bits, 0 to :data:`MOST_RADIUS`.

        Returns:
            Number of the code, ascending, number of the one in the table, and in how many bits they differ, all of one
            length; a pair may come more than once.
        """
        flips = _one_bit_or_none()[: None if radius >= _BANDS else 1]
        found: list[tuple[IntArray, IntArray, NDArray[np.uint8]]] = []
        for start in range(0, len(codes), _AT_ONCE):
            part = codes[start : start + _AT_ONCE]
            asked, known = self._candidates(part, flips)
            distances = np.bitwise_count(part[asked] ^ self._codes[known])
            is_near = distances <= radius
            found.append((asked[is_near] + start, known[is_near], distances[is_near]))
        if not found:
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, np.zeros(0, dtype=np.uint8)
        asked, known, distances = (np.concatenate(columns) for columns in zip(*found, strict=True))
        return asked, known, distances

    def _candidates(self, codes: HashArray, flips: NDArray[np.uint16]) -> tuple[IntArray, IntArray]:
        """The pairs that have a band that differs by one of some flips of its bits."""
        probes = _by_band(_bands(codes)[:, :, None] ^ flips).ravel()
        starts = self._starts[probes]
        counts = self._starts[probes + 1] - starts
        hits = np.flatnonzero(counts)
        asked = np.repeat(hits // (_BANDS * len(flips)), counts[hits])
        return asked, self._order[expanded(starts[hits], counts[hits])]


@lru_cache(maxsize=8)
def _planes(dim: int) -> numkong.PackedMatrix:
    """The normals, float32, shape (64, dim), as the product takes them."""
    stream = hashlib.shake_256(f"routeret fingerprints {dim}".encode()).digest(_BITS * dim // 8)
    bits = np.unpackbits(np.frombuffer(stream, dtype=np.uint8)).reshape(_BITS, dim)
    return numkong.dots_pack(bits.astype(np.float32) * 2 - 1)


@lru_cache(maxsize=1)
def _one_bit_or_none() -> NDArray[np.uint16]:
    return np.array([0, *(1 << bit for bit in range(_BITS // _BANDS))], dtype=np.uint16)


def _bands(codes: HashArray) -> NDArray[np.uint16]:
    """The bands of some codes, uint16, shape (n, 4)."""
    shifts = np.arange(0, _BITS, _BITS // _BANDS, dtype=np.uint64)
    return (codes[:, None] >> shifts).astype(np.uint16)


def _by_band(values: NDArray[np.uint16]) -> IntArray:
    """Numbers of values of bands, so that those of the second band come behind those of the first and so on.

    Args:
        values: uint16, shape (n, 4) or (n, 4, n_values).
    """
    offsets = np.arange(_BANDS, dtype=np.int64) * _BAND_VALUES
    return values.astype(np.int64) + offsets.reshape(1, _BANDS, *(1 for _ in values.shape[2:]))
