"""Fingerprints of vectors: what their bits mean, and the table that finds near ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routeret.experts.fingerprints import MOST_RADIUS, FingerprintTable, fingerprints, radius_of

PINNED = ["0x6a2d55beff010a4f", "0xc1d5b7bcb380e398"]
CODES = st.lists(st.integers(0, 2**64 - 1), max_size=30)


def codes_of(*values):
    return np.array(values, dtype=np.uint64)


def brute_force(codes, table, *, radius=MOST_RADIUS):
    distances = np.bitwise_count(codes[:, None] ^ table[None, :])
    return {(i, j, int(distances[i, j])) for i, j in zip(*np.nonzero(distances <= radius), strict=True)}


def found(codes, table, *, radius=MOST_RADIUS):
    asked, known, distances = FingerprintTable(table).near(codes, radius=radius)
    assert (np.diff(asked) >= 0).all()
    return {tuple(map(int, pair)) for pair in zip(asked, known, distances, strict=True)}


def test_every_machine_gives_the_same_fingerprints():
    # Kept by experts, so they may never change.
    assert [hex(code) for code in fingerprints(np.eye(4, dtype=np.float32)[:2]).tolist()] == PINNED
    assert fingerprints(np.eye(4, dtype=np.float32)).dtype == np.uint64


def test_length_does_not_count_and_opposite_vectors_differ_in_every_bit():
    vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    codes = fingerprints(vectors)
    assert np.array_equal(fingerprints(3 * vectors), codes)
    assert np.bitwise_count(codes ^ fingerprints(-vectors)).tolist() == [64] * 50


@pytest.mark.parametrize("degrees", [15, 45, 90, 150])
def test_bits_differ_as_the_angle(degrees):
    rng = np.random.default_rng(1)
    one = rng.normal(size=(500, 384))
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    other = rng.normal(size=(500, 384))
    other -= (other * one).sum(axis=1, keepdims=True) * one
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    turned = np.cos(np.radians(degrees)) * one + np.sin(np.radians(degrees)) * other
    differing = np.bitwise_count(fingerprints(one.astype(np.float32)) ^ fingerprints(turned.astype(np.float32)))
    # A plane separates two vectors with the probability of their angle over 180 degrees.
    assert differing.mean() / 64 == pytest.approx(degrees / 180, abs=0.01)


@settings(max_examples=40)
@given(CODES, CODES, st.lists(st.integers(0, 63), max_size=9), st.integers(0, MOST_RADIUS))
def test_the_table_finds_what_comparing_all_finds(table, codes, flips, radius):
    known = np.unique(codes_of(*table))
    near = [value ^ sum({1 << bit for bit in flips}) for value in table]
    asked = codes_of(*codes, *near)
    assert found(asked, known, radius=radius) == brute_force(asked, known, radius=radius)


@pytest.mark.parametrize("radius", [3, 4])
def test_a_bit_in_every_band_is_found_from_a_radius_of_four_on(radius):
    spread = sum(1 << bit for bit in (0, 16, 32, 48))
    assert found(codes_of(spread), codes_of(0), radius=radius) == ({(0, 0, 4)} if radius == 4 else set())


def test_six_bits_are_found_wherever_they_lie_and_seven_are_not():
    table = codes_of(0)
    spread = sum(1 << bit for bit in (0, 15, 16, 31, 47, 63))
    in_one_band = 0b111111
    assert found(codes_of(spread, in_one_band, spread | 2), table) == {(0, 0, 6), (1, 0, 6)}


def test_more_codes_than_are_looked_up_at_once():
    rng = np.random.default_rng(2)
    table = np.unique(rng.integers(0, 2**63, size=700, dtype=np.uint64))
    asked = table[rng.permutation(len(table))] ^ np.uint64(1 << 40)
    assert found(asked, table) == brute_force(asked, table)


def test_an_empty_table_and_no_codes():
    assert found(codes_of(), codes_of(1)) == set()
    assert found(codes_of(1, 2), codes_of()) == set()


@pytest.mark.parametrize(
    ("values", "radius"),
    [
        ((), 0),
        ((5,), 0),
        ((0, 2**23 - 1), 5),  # they differ in 23 bits, and a quarter is 5.75
        ((0, 2**8 - 1), 2),
        ((0, 2**64 - 1), 6),  # a quarter is 16, and 6 are the most
        ((0, 0, 0, 0), 0),
    ],
)
def test_the_radius_is_a_quarter_of_the_typical_distance(values, radius):
    assert radius_of(codes_of(*values)) == radius
