"""What experts keep of the documents they were trained over: short keys, spreads, saved and read."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from routeret.artifact import MANIFEST, write_manifest
from routeret.errors import ArtifactError
from routeret.experts import LinearExpert, load_expert
from routeret.experts.sketch import Spread, TrainingSketch, are_among, short_keys, sketch_in, sorted_once
from routeret.space import Space

GOLDEN = Path(__file__).parents[1] / "golden" / "expert-linear-2"
SPACE = Space(model="ab" * 32, pooling="mean", max_tokens=256, dim=2)


def keys(*values):
    return np.array(values, dtype=np.uint64)


def rows(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 2)


def sketch():
    return TrainingSketch.of(SPACE, documents=[rows((1, 0), (0, 1)), rows((1, 0), (0, 0))], queries=[rows((0, 3))])


def expert(**changes):
    values = {"space": SPACE, "query_tower": "0123456789abcdef", "known_documents": keys(7), "sketch": sketch()}
    return LinearExpert("swap", np.eye(2, dtype=np.float32), 0.5, **{**values, **changes})


@given(arrays(np.uint64, st.integers(0, 40), elements=st.integers(0, 12)))
def test_keys_are_sorted_and_each_once(values):
    found = sorted_once(values)
    np.testing.assert_array_equal(found, np.unique(values))
    assert found.dtype == np.uint64
    assert sorted_once(found) is found  # nothing is copied where there is nothing to do


def test_short_keys_are_the_low_half_sorted_and_once():
    assert short_keys(keys(2**32 + 9, 9, 3, 2**64 - 1)).tolist() == [3, 9, 2**32 - 1]
    assert short_keys(keys()).tolist() == []


def test_whole_keys_are_found_among_short_ones():
    known = short_keys(keys(5, 2**40 + 8))
    assert are_among(keys(5, 8, 2**40 + 8, 6, 2**64 - 1), known).tolist() == [True, True, True, False, False]
    assert are_among(keys(5), keys()).tolist() == [False]
    assert are_among(keys(), known).tolist() == []


def test_a_spread_is_mean_and_variance():
    spread = Spread.of(rows((0, 1), (4, 1)))
    assert (spread.n, spread.mean.tolist(), spread.variance.tolist()) == (2, [2, 1], [4, 0])
    nothing = Spread.of(rows())
    assert (nothing.n, nothing.mean.tolist(), nothing.variance.tolist()) == (0, [0, 0], [0, 0])


def test_the_distance_counts_means_and_deviations():
    # Means (2, 1) and (5, 5): 3² + 4²; deviations (2, 0) and (2, 0).
    assert Spread.of(rows((0, 1), (4, 1))).distance(Spread.of(rows((3, 5), (7, 5)))) == pytest.approx(5)
    # Equal means; deviations (2, 0) and (0, 1): 2² + 1².
    assert Spread.of(rows((0, 1), (4, 1))).distance(Spread.of(rows((2, 0), (2, 2)))) == pytest.approx(5**0.5)
    assert sketch().documents.distance(sketch().documents) == 0


def test_a_sketch_counts_all_sets_and_leaves_out_documents_without_a_direction():
    made = sketch()
    assert len(made.fingerprints) == 2
    assert (made.documents.n, made.documents.mean.tolist()) == (4, [0.5, 0.25])
    assert (made.queries.n, made.queries.mean.tolist()) == (1, [0, 3])
    assert made.space == SPACE.fingerprint


def test_a_sketch_of_nothing():
    made = TrainingSketch.of(SPACE, documents=[], queries=[])
    assert (len(made.fingerprints), made.radius, made.documents.n, made.queries.n) == (0, 0, 0, 0)


def test_a_sketch_counts_in_its_own_space_only():
    one = expert()
    assert sketch_in(one, SPACE) is one.sketch
    assert sketch_in(one, Space(model="cd" * 32, pooling="mean", max_tokens=256, dim=2)) is None
    assert sketch_in(expert(sketch=None), SPACE) is None
    assert sketch_in(object(), SPACE) is None


@pytest.mark.parametrize("made", [sketch(), None])
def test_an_expert_is_read_with_the_sketch_that_it_was_saved_with(tmp_path, made):
    one = expert(sketch=made)
    one.save(tmp_path / "swap")
    again = load_expert(tmp_path / "swap")
    assert again.known_documents.tolist() == [7]
    if made is None:
        assert again.sketch is None
        return
    assert again.sketch.fields() == made.fields()
    for name, array in made.arrays().items():
        np.testing.assert_array_equal(again.sketch.arrays()[name], array)


def test_known_documents_take_four_bytes_each(tmp_path):
    few, many = tmp_path / "few", tmp_path / "many"
    expert(known_documents=keys(0)).save(few)
    expert(known_documents=np.arange(1001, dtype=np.uint64)).save(many)
    size = "sketch.safetensors"
    assert (many / size).stat().st_size - (few / size).stat().st_size == pytest.approx(4000, abs=16)


def test_a_radius_out_of_range_is_damage(tmp_path):
    expert(sketch=replace(sketch(), radius=7)).save(tmp_path / "swap")
    with pytest.raises(ArtifactError, match=r"radius 7, expected 0 to 6; restore it"):
        load_expert(tmp_path / "swap")


def test_a_missing_array_is_damage(tmp_path):
    expert(sketch=None).save(tmp_path / "swap")
    manifest = json.loads((tmp_path / "swap" / MANIFEST).read_text())
    manifest["sketch"] = sketch().fields()
    fields = {name: value for name, value in manifest.items() if name not in ("kind", "format", "files", "checksum")}
    write_manifest(tmp_path / "swap", kind="expert", format_number=2, fields=fields)
    with pytest.raises(ArtifactError, match=r"damaged: 'fingerprints'"):
        load_expert(tmp_path / "swap")


def test_the_second_format_stays_readable(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "golden")
    golden = load_expert(tmp_path / "golden")
    assert golden.known_documents.tolist() == [1, 2**32 - 1]
    assert golden.sketch.fingerprints.tolist() == [3, 2**64 - 1]
    assert (golden.sketch.radius, golden.sketch.documents.n, golden.sketch.queries.n) == (5, 2, 1)
    assert golden.sketch.documents.mean.tolist() == [0.5, 0.5]
    assert golden.sketch.queries.variance.tolist() == [0, 0]
    assert golden.sketch.space == SPACE.fingerprint
