"""Linear experts: what they write, and folders that keep them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from routeret.artifact import MANIFEST, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.experts import LinearExpert, load_expert
from routeret.protocols import Expert
from routeret.space import Space
from routeret.types import QueryBatch

GOLDEN = Path(__file__).parents[1] / "golden" / "expert-linear-1"
SPACE = Space(model="ab" * 32, pooling="mean", max_tokens=256, dim=2)
SWAP = np.array([[0, 1], [1, 0]], dtype=np.float32)


def expert(**changes):
    values = {
        "name": "swap",
        "weight": SWAP,
        "strength": 0.5,
        "space": SPACE,
        "query_tower": "0123456789abcdef",
        "known_documents": np.array([7, 3, 7], dtype=np.uint64),
        "details": {"seed": 0},
    }
    return LinearExpert(**{**values, **changes})


def batch(*rows):
    base = np.array(rows, dtype=np.float32).reshape(-1, 2)
    return QueryBatch(tuple("q" * len(base)), base)


def strengths(*values):
    return np.array(values, dtype=np.float32)


def test_it_is_an_expert():
    assert isinstance(expert(), Expert)


def test_a_query_is_moved_by_the_map_times_the_strength():
    # (1, 0) + s (0, 1), brought to length 1
    written = expert().encode_queries(batch((1, 0), (1, 0)), strengths=strengths(1, 0.75))
    np.testing.assert_allclose(written, [[2**-0.5, 2**-0.5], [0.8, 0.6]], rtol=1e-6)
    assert written.dtype == np.float32


def test_the_map_is_applied_from_the_left():
    turn = np.array([[0, 0], [1, 0]], dtype=np.float32)  # W (1, 0) = (0, 1), W (0, 1) = (0, 0)
    written = expert(weight=turn).encode_queries(batch((1, 0), (0, 1)), strengths=strengths(0.75, 0.75))
    np.testing.assert_allclose(written, [[0.8, 0.6], [0, 1]], rtol=1e-6)


def test_strength_0_gives_the_base_to_the_last_bit():
    base = batch((0.6000001, 0.8000002), (3, 4))
    assert np.array_equal(expert().encode_queries(base, strengths=strengths(0, 0)), base.base)


def test_a_space_of_other_lengths_is_left_alone():
    free = Space(model="ab" * 32, pooling="mean", max_tokens=256, dim=2, unit_length=False, similarity="dot")
    written = expert(space=free).encode_queries(batch((3, 1)), strengths=strengths(0.5))
    np.testing.assert_allclose(written, [[3.5, 2.5]])


def test_no_query_gives_no_vector():
    assert expert().encode_queries(batch(), strengths=strengths()).shape == (0, 2)


def test_a_query_that_the_map_cancels_stays_finite():
    written = expert(weight=-np.eye(2, dtype=np.float32)).encode_queries(batch((1, 0)), strengths=strengths(1))
    assert np.isfinite(written).all()


@pytest.mark.parametrize(
    ("rows", "values", "message"),
    [
        ([(1, 0)], (1, 1), r"strengths have shape \(2,\)"),
        ([(1, 0)], (-0.1,), "expected at least 0"),
        ([(1, 0)], (np.nan,), "expected at least 0"),
    ],
)
def test_strengths_must_fit(rows, values, message):
    with pytest.raises(InputError, match=message):
        expert().encode_queries(batch(*rows), strengths=strengths(*values))


def test_queries_of_another_dimension_are_refused():
    queries = QueryBatch(("a",), np.ones((1, 3), dtype=np.float32))
    with pytest.raises(InputError, match=r"shape \(1, 3\), expert 'swap' reads \(n, 2\)"):
        expert().encode_queries(queries, strengths=strengths(1))


@pytest.mark.parametrize("name", ["a", "bank-2", "_", "0"])
def test_allowed_names(name):
    assert expert(name=name).name == name


@pytest.mark.parametrize("name", ["", "Bank", "a b", "a/b", "..", "ü", "base", "bm25", "a\n"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError):
        expert(name=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": np.eye(3, dtype=np.float32)}, r"shape \(3, 3\), expected \(2, 2\)"),
        ({"weight": np.array([[np.nan, 0], [0, 0]], dtype=np.float32)}, "not finite"),
        ({"weight": np.array([[1e6, 0], [0, 0]], dtype=np.float32)}, "not finite in float16"),
        ({"strength": 0.0}, "strength 0.0"),
        ({"strength": float("inf")}, "strength inf"),
    ],
)
def test_what_cannot_be_applied_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        expert(**changes)


def test_known_documents_are_sorted_and_come_once():
    assert expert().known_documents.tolist() == [3, 7]
    assert expert().known_documents.dtype == np.uint64


def test_a_saved_expert_answers_as_before(tmp_path):
    weight = np.random.default_rng(0).normal(scale=0.1, size=(2, 2)).astype(np.float32)
    large = np.array([2**64 - 1, 5], dtype=np.uint64)
    one = expert(weight=weight, known_documents=large, details={"grün": [1, None]})
    one.save(tmp_path / "deep" / "swap")
    again = load_expert(tmp_path / "deep" / "swap")
    queries = batch((0.6, 0.8), (1, 0))
    at = strengths(0.3, 1)
    assert np.array_equal(again.encode_queries(queries, strengths=at), one.encode_queries(queries, strengths=at))
    assert (again.name, again.strength, again.space, again.query_tower) == ("swap", 0.5, SPACE, "0123456789abcdef")
    assert again.known_documents.tolist() == [5, 2**32 - 1]
    assert again.details == {"grün": [1, None]}


def test_a_weight_whose_columns_come_first_is_written_as_it_is(tmp_path):
    weight = np.array([[1, 2], [3, 4]], dtype=np.float32).T
    expert(weight=weight).save(tmp_path / "swap")
    assert load_expert(tmp_path / "swap").weight.tolist() == [[1, 3], [2, 4]]


def test_files_beside_the_weights_are_covered_by_the_manifest(tmp_path):
    expert().save(tmp_path / "swap", beside=lambda folder: (folder / "note.txt").write_text("x"))
    covered = json.loads((tmp_path / "swap" / MANIFEST).read_text())["files"]
    assert set(covered) == {"note.txt", "sketch.safetensors", "weights.safetensors"}
    (tmp_path / "swap" / "note.txt").write_text("y")
    with pytest.raises(ArtifactError, match=r"note.txt is damaged"):
        load_expert(tmp_path / "swap")
    assert load_expert(tmp_path / "swap", verify=False).name == "swap"


def test_an_existing_folder_is_not_overwritten(tmp_path):
    expert().save(tmp_path / "swap")
    with pytest.raises(ArtifactError, match="exists already"):
        expert(strength=1.0).save(tmp_path / "swap")
    assert load_expert(tmp_path / "swap").strength == 0.5


@pytest.mark.parametrize("details", [{"a": {1, 2}}, {"a": float("nan")}])
def test_details_that_are_not_json_leave_nothing_behind(tmp_path, details):
    with pytest.raises(InputError, match="not JSON"):
        expert(details=details).save(tmp_path / "swap")
    assert list(tmp_path.iterdir()) == []


def fail(folder):
    raise RuntimeError(folder.name)


def test_a_failing_save_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError):
        expert().save(tmp_path / "swap", beside=fail)
    assert list(tmp_path.iterdir()) == []


def saved_with(folder, **changes):
    """A folder whose manifest says something else."""
    expert().save(folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["checksum"]
    fields = {name: value for name, value in manifest.items() if name not in ("kind", "format", "files")}
    write_manifest(folder, kind="expert", format_number=2, fields={**fields, **changes})
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"expert": "oracle", "routeret": "9.1"}, "kind 'oracle', this version reads: linear, .* routeret 9.1"),
        ({"strength": "much"}, "damaged"),
        ({"space": {"dim": 2}}, "damaged"),
        ({"space": {**SPACE.as_dict(), "dim": 3}}, r"damaged: .* expected \(3, 3\)"),
    ],
)
def test_a_folder_that_does_not_fit_is_refused(tmp_path, changes, message):
    with pytest.raises(ArtifactError, match=message):
        load_expert(saved_with(tmp_path / "swap", **changes))


def test_broken_weights_are_refused(tmp_path):
    expert().save(tmp_path / "swap")
    (tmp_path / "swap" / "weights.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ArtifactError, match=r"weights.safetensors is damaged"):
        load_expert(tmp_path / "swap")
    with pytest.raises(ArtifactError, match="is damaged"):
        load_expert(tmp_path / "swap", verify=False)


def test_a_folder_without_manifest_is_no_expert(tmp_path):
    with pytest.raises(ArtifactError, match=r"no manifest.json"):
        load_expert(tmp_path)


def test_the_first_format_stays_readable(tmp_path):
    shutil.copytree(GOLDEN, tmp_path / "golden")
    golden = load_expert(tmp_path / "golden")
    assert (golden.name, golden.strength, golden.query_tower) == ("golden", 0.75, "0123456789abcdef")
    assert golden.space.fingerprint == SPACE.fingerprint
    assert golden.known_documents.tolist() == [1, 2**32 - 1]
    written = golden.encode_queries(batch((1, 0), (0, 1)), strengths=strengths(1, 0))
    # W = [[0, 1], [0.5, 0]]: (1, 0) + (0, 0.5)
    np.testing.assert_allclose(written, [[2 / 5**0.5, 1 / 5**0.5], [0, 1]], rtol=1e-6)
