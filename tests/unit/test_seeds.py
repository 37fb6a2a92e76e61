"""Several trainings of one pack: mean and spread over their seeds."""

import json
import shutil
from dataclasses import replace

import pytest
from tiny_packs import ENCODER, TEXTS, write_dataset, write_pack

from routeret.artifact import MANIFEST, write_manifest
from routeret.errors import ArtifactError, InputError
from routeret.evaluation import (
    EvaluationSettings,
    Provenance,
    Report,
    SeedsReport,
    Spread,
    assemble_dataset,
    evaluate,
    evaluate_seeds,
    evaluating,
)
from routeret.measures import MEASURES
from routeret.packs import FORMAT, KIND


def report_of(routed_by_set, *, pack, hybrid=None):
    """A report with sets of two queries, on which the base has 0.5 and ``routed`` what is given."""
    datasets = {}
    for name, routed in routed_by_set.items():
        scores = {"base": (0.5, 0.5), "routed": routed}
        if hybrid is not None:
            scores |= {"hybrid": (0.6, 0.6), "routed_hybrid": hybrid}
        per_query = {
            system: {query: dict.fromkeys(MEASURES, value) for query, value in zip(("q1", "q2"), values, strict=True)}
            for system, values in scores.items()
        }
        datasets[name] = assemble_dataset(per_query, {"q1": {"a": 1}, "q2": {"b": 1}})
    provenance = Provenance.here("test", pack=pack, indexes=dict.fromkeys(routed_by_set, "1f"))
    return Report.from_datasets(datasets, provenance=provenance)


def test_mean_and_spread_by_hand():
    found = SeedsReport.of(
        {
            "one": report_of({"faq": (0.6, 0.6), "notes": (0.8, 0.8)}, pack="a"),
            "two": report_of({"faq": (0.7, 0.7), "notes": (0.9, 0.9)}, pack="b"),
        }
    )
    # The means over the sets are 0.7 and 0.8, which are 0.05 from their mean: 0.05 * sqrt(2) for one of them.
    assert found.mean["routed"] == Spread(mean=0.75, deviation=0.070711, lowest=0.7, highest=0.8)
    assert found.mean["base"] == Spread(mean=0.5, deviation=0.0, lowest=0.5, highest=0.5)
    difference = found.differences["routed - base"]
    # In a 16th of the resamples the first training is drawn twice, and faq twice: 0.6 - 0.5.
    assert (difference.mean, difference.low, difference.high) == (0.25, 0.1, 0.4)
    assert difference.p_value is None
    assert set(found.differences) == {"routed - base"}


def test_routing_with_words_is_compared_with_the_hybrid():
    reports = {
        name: report_of({"faq": (0.6, 0.6)}, pack=name, hybrid=hybrid)
        for name, hybrid in (("one", (0.7, 0.7)), ("two", (0.9, 0.9)))
    }
    found = SeedsReport.of(reports)
    difference = found.differences["routed_hybrid - hybrid"]
    assert (difference.mean, difference.low, difference.high) == (0.2, 0.1, 0.3)
    assert list(found.differences) == [
        "hybrid - base", "routed - base", "routed_hybrid - base", "routed_hybrid - hybrid",
    ]  # fmt: skip
    assert found.table().splitlines()[:7] == [
        "system         ndcg@10  deviation  lowest  highest",
        "-------------  -------  ---------  ------  -------",
        "base             0.500      0.000   0.500    0.500",
        "hybrid           0.600      0.000   0.600    0.600",
        "routed           0.600      0.000   0.600    0.600",
        "routed_hybrid    0.800      0.141   0.700    0.900",
        "over 2 trainings: of the mean over the data sets",
    ]
    assert "routed_hybrid - hybrid  +0.200  +0.100 to +0.300" in found.table()


def test_a_system_that_a_training_cannot_have_has_no_spread():
    def with_nothing(pack):
        report = report_of({"faq": (0.6, 0.6)}, pack=pack)
        return replace(report, mean={**report.mean, "multitask": None})

    found = SeedsReport.of({"one": with_nothing("a"), "two": with_nothing("b")})
    assert found.mean["multitask"] is None
    assert "multitask - base" not in found.differences


def test_it_survives_its_json_form(tmp_path):
    found = SeedsReport.of({name: report_of({"faq": (0.6, 0.7)}, pack=name) for name in ("one", "two")})
    assert SeedsReport.from_json(json.loads(json.dumps(found.to_json()))) == found
    found.save(tmp_path / "seeds.json")
    assert SeedsReport.load(tmp_path / "seeds.json") == found


def test_what_is_no_such_report_is_refused(tmp_path):
    path = tmp_path / "seeds.json"
    with pytest.raises(ArtifactError, match=r"does not exist; write it with: routeret eval --pack PACK PACK"):
        SeedsReport.load(path)
    for content in ("{", "[]", json.dumps(report_of({"faq": (0.6, 0.7)}, pack="a").to_json())):
        path.write_text(content)
        with pytest.raises(ArtifactError, match="is not a report over several trainings"):
            SeedsReport.load(path)


def test_what_cannot_be_put_together_is_named():
    one, two = (report_of({"faq": (0.6, 0.7)}, pack=pack) for pack in ("a", "b"))
    with pytest.raises(InputError, match="1 training was given; expected at least two"):
        SeedsReport.of({"one": one})
    with pytest.raises(InputError, match="'one' and 'again' are the same pack"):
        SeedsReport.of({"one": one, "again": one})
    with pytest.raises(InputError, match=r"different data sets \(faq; notes\)"):
        SeedsReport.of({"one": one, "two": report_of({"notes": (0.6, 0.7)}, pack="b")})
    with pytest.raises(InputError, match="different systems"):
        SeedsReport.of({"one": one, "two": report_of({"faq": (0.6, 0.7)}, pack="b", hybrid=(1.0, 1.0))})
    other = replace(two, provenance=Provenance.here("test", pack="b", indexes={"faq": "2e"}))
    with pytest.raises(InputError, match=r"different documents \(1f; 2e\)"):
        SeedsReport.of({"one": one, "two": other})
    with pytest.raises(InputError, match="the report of 'two' does not hold single queries"):
        SeedsReport.of({"one": one, "two": Report.from_json(two.to_json())})


@pytest.fixture
def sets(tmp_path):
    return [write_dataset(tmp_path / "data" / name) for name in TEXTS]


@pytest.fixture
def packs(tmp_path):
    return [write_pack(tmp_path / "one"), write_pack(tmp_path / "two", multitask=False)]


def test_packs_are_evaluated_one_after_the_other(sets, packs, tmp_path):
    systems = ["routed", "expert:fruit"]
    found = evaluate_seeds(sets, packs, settings=EvaluationSettings(systems=systems, save_runs=tmp_path / "runs"))
    for pack in packs:
        alone = evaluate(sets, pack=pack, settings=EvaluationSettings(systems=systems))
        assert found.reports[str(pack)].to_json() == alone.to_json()
    assert (tmp_path / "runs" / "2" / "ships" / "routed.trec").is_file()
    for single in ([packs[0]], packs[0], str(packs[0])):
        with pytest.raises(InputError, match="1 training was given; expected at least two, each a pack of another"):
            evaluate_seeds(sets, single)


def test_what_cannot_be_measured_side_by_side_is_named_before_any_is_measured(sets, packs, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluating, "evaluate", None)
    again = shutil.copytree(packs[0], tmp_path / "again" / "one")
    for twin in (again, packs[0]):
        with pytest.raises(InputError, match=f"'{packs[0]}' and '{twin}' are the same pack; give trainings of other"):
            evaluate_seeds(sets, [packs[0], packs[1], twin])
    with pytest.raises(InputError, match="unknown system 'expert:multitask'"):
        evaluate_seeds(sets, packs, settings=EvaluationSettings(systems=["expert:multitask"]))
    manifest = json.loads((packs[1] / MANIFEST).read_text())
    fields = {name: manifest[name] for name in ("name", "base", "space", "lexical_weight")}
    write_manifest(packs[1], kind=KIND, format_number=FORMAT, fields={**fields, "query_tower": "f" * 16})
    with pytest.raises(InputError, match=rf"one' has the base .* {ENCODER.query_tower}, '.*two' has .* with f{{16}}"):
        evaluate_seeds(sets, packs)


def test_reports_of_other_splits_or_settings_are_not_put_together():
    one, two = (report_of({"faq": (0.6, 0.7)}, pack=pack) for pack in ("a", "b"))
    for other, words in (
        (replace(two, merged=True), r"separate, split test; merged, split test"),
        (replace(two, provenance=replace(two.provenance, split="dev")), "separate, split test; separate, split dev"),
        (replace(two, provenance=replace(two.provenance, left_out=True)), "split test; separate, split test, left out"),
    ):
        with pytest.raises(InputError, match=f"different settings .*{words}"):
            SeedsReport.of({"one": one, "two": other})
