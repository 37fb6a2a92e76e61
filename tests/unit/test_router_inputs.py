"""What a router makes of pilots that are few, equal or broken, and of experts that do not belong to it."""

import copy
import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from tiny_packs import documents_of, library, linear_expert, pilot_corpus, write_expert
from tiny_pilots import X, Y, corpus

from routeret.artifact import MANIFEST, write_manifest
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, InputError, SpaceMismatchError
from routeret.retriever import Retriever
from routeret.retriever.pool import load_pool
from routeret.routing import STRENGTHS, PilotLibrary, UtilityRouter
from routeret.types import QueryBatch


def decided(router, *vectors, known=1.0):
    shares = np.full((len(vectors), len(router.expert_names)), known, dtype=np.float32)
    return router.route(QueryBatch(tuple("q" for _ in vectors), np.stack(vectors).astype(np.float32)), known=shares)


def test_one_pilot_counts_an_eleventh_and_is_sure_of_nothing():
    router = UtilityRouter.fit(PilotLibrary("0" * 16, (corpus("care", [X], home=("nurse",), nurse=[0.33]),)), ["nurse"])
    np.testing.assert_allclose(router.table.means, 0.03, atol=1e-6)  # 1 / (1 + 10) of it
    told = decided(router, X).explain(0)
    assert told.predicted_gains == {"nurse": pytest.approx(0.03, abs=1e-6)}
    assert 0 < told.helps["nurse"] < 1


def test_pilots_that_are_all_the_same_are_a_corpus_like_any_other():
    same = PilotLibrary(
        "0" * 16,
        (
            corpus("care", [X] * 30, home=("nurse",), nurse=[0.2] * 30, coder=[-0.2] * 30),
            corpus("code", [Y] * 30, home=("coder",), nurse=[-0.2] * 30, coder=[0.2] * 30),
        ),
    )
    routing = decided(UtilityRouter.fit(same, ["nurse", "coder"]), X, Y)
    assert np.isfinite(routing.weights).all()
    np.testing.assert_array_equal(routing.weights[:, 1:].argmax(axis=1), [0, 1])


def test_two_corpora_with_the_same_pilots_are_told_apart_by_nothing():
    twins = PilotLibrary(
        "0" * 16,
        (
            corpus("care", [X] * 30, home=("nurse",), nurse=[0.2] * 30, coder=[0.0] * 30),
            replace(corpus("code", [X] * 30, home=("coder",), nurse=[0.0] * 30, coder=[0.2] * 30), source="other"),
        ),
    )
    routing = decided(UtilityRouter.fit(twins, ["nurse", "coder"]), X)
    np.testing.assert_allclose(routing.corpus_probabilities, 0.5, atol=1e-3)
    assert routing.weights[0, 1] == pytest.approx(routing.weights[0, 2], abs=1e-3)


def test_scores_that_were_never_measured_teach_nothing():
    nothing = np.full((3, len(STRENGTHS)), np.nan, dtype=np.float32)
    router = UtilityRouter.fit(
        PilotLibrary("0" * 16, (corpus("care", [X, X, X], home=("nurse",), nurse=nothing),)), ["nurse"]
    )
    routing = decided(router, X)
    np.testing.assert_array_equal(routing.weights, [[1, 0]])
    assert routing.explain(0).reason == "no expert is expected to gain"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vectors": np.array([[np.nan, 0, 0]], dtype=np.float32)}, "vectors that are not finite; embed its queries"),
        ({"gains": {"nurse": np.full((1, len(STRENGTHS)), np.inf, dtype=np.float32)}}, "are infinite somewhere"),
        ({"gains": {"nurse": np.zeros((2, len(STRENGTHS)), dtype=np.float32)}}, r"shape \(2, 4\), expected \(1, 4\)"),
        ({"texts": ()}, "has no queries; expected at least one"),
    ],
)
def test_broken_pilots_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        replace(corpus("care", [X], nurse=[0.1]), **change)


def test_pilots_of_experts_that_the_pool_does_not_hold_are_ignored():
    mixed = PilotLibrary("0" * 16, (corpus("care", [X] * 20, home=("nurse",), nurse=[0.2] * 20, stranger=[0.9] * 20),))
    assert decided(UtilityRouter.fit(mixed, ["nurse"]), X).experts == ("nurse",)


def test_a_router_of_other_experts_is_refused(tmp_path):
    expert = write_expert(tmp_path / "fruit", linear_expert("fruit"), pilot_corpus("fruit", {"fruit": 0.1}))
    UtilityRouter.fit(library(pilot_corpus("fruit", {"ships": 0.1})), ["ships"]).save(tmp_path / "router")
    with pytest.raises(ArtifactError, match="was fitted for experts ships, the pool holds fruit"):
        load_pool(HashingEncoder(dim=32), experts=[expert], router=tmp_path / "router")


def test_an_expert_of_another_space_is_refused_and_the_index_stays_as_it_was(tmp_path):
    expert = linear_expert("fruit", known=documents_of("fruit"))
    other = replace(expert, space=HashingEncoder(dim=64).space, weight=np.eye(64, dtype=np.float32))
    folder = write_expert(tmp_path / "fruit", other, pilot_corpus("fruit", {"fruit": 0.1}, home=["fruit"]))
    with Retriever.create(tmp_path / "kb", base="hashing-32") as kb:
        kb.add(documents_of("fruit"))
        before = sorted(path.name for path in (tmp_path / "kb").iterdir())
        with pytest.raises(SpaceMismatchError, match="expert 'fruit'"):
            kb.add_expert(folder)
        assert kb.expert_names == ()
        assert sorted(path.name for path in (tmp_path / "kb").iterdir()) == before


@pytest.mark.parametrize("kept", [copy.deepcopy, lambda router: pickle.loads(pickle.dumps(router))])
def test_a_router_from_a_folder_can_be_copied_and_sent_to_another_process(tmp_path, kept):
    pilots = PilotLibrary("0" * 16, (corpus("care", [X] * 3, home=("nurse",), nurse=[0.3] * 3),))
    UtilityRouter.fit(pilots, ["nurse"]).save(tmp_path / "router")
    copied = kept(UtilityRouter.load(tmp_path / "router"))
    shutil.rmtree(tmp_path / "router")
    assert copied.library.corpora[0].texts == pilots.corpora[0].texts
    np.testing.assert_allclose(decided(copied, X).gains, 0.3 * 3 / 13, atol=1e-4)


def changed(folder, change):
    """A router whose arrays or manifest were changed by somebody who wrote the checksums again."""
    manifest, arrays = json.loads((folder / MANIFEST).read_text()), load_file(folder / "router.safetensors")
    change({"manifest": manifest, "arrays": arrays})
    save_file(arrays, folder / "router.safetensors")
    fields = {name: manifest[name] for name in manifest.keys() - {"kind", "format", "files", "checksum"}}
    write_manifest(folder, kind="router", format_number=2, fields=fields)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda saved: saved["manifest"].pop("experts"), "'experts'"),
        (lambda saved: saved["manifest"]["settings"].update(heat=1), "heat"),
        (lambda saved: saved["arrays"].pop("gains"), "'gains'"),
        (lambda saved: saved["arrays"]["gains"].fill(np.nan), "'gains' is not finite somewhere"),
        (lambda saved: saved["manifest"]["experts"].append("coder"), r"shape \(1, 1, 4\), expected \(1, 2, 4\)"),
        (lambda saved: saved["manifest"]["corpora"].clear(), r"shape \(1, 3\), expected \(0, 3\)"),
    ],
)
def test_a_router_that_cannot_decide_is_damaged(tmp_path, change, words):
    pilots = PilotLibrary("0" * 16, (corpus("care", [X] * 3, home=("nurse",), nurse=[0.3] * 3),))
    UtilityRouter.fit(pilots, ["nurse"]).save(tmp_path / "router")
    changed(tmp_path / "router", change)
    with pytest.raises(ArtifactError, match=f"router is damaged: .*{words}"):
        UtilityRouter.load(tmp_path / "router")
