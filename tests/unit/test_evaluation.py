import json
from dataclasses import replace
from pathlib import Path

import pytest

from routeret.errors import ArtifactError, InputError
from routeret.evaluation import (
    Difference,
    Provenance,
    Regret,
    Report,
    assemble_dataset,
    compare,
    evaluate_runs,
    is_stale,
    means,
    render,
    update_document,
)
from routeret.evaluation.layout import Table, aligned, markdown, system_order, turned
from routeret.evaluation.oracles import dataset_oracle, query_oracle
from routeret.evaluation.provenance import installed_versions
from routeret.evaluation.summary import closed_gaps, summary, summary_text

GOLDEN = Path(__file__).parent.parent / "golden"

# Rank 1 gives nDCG 1, rank 2 gives 1 / log2(3) = 0.631, rank 3 gives 0.5: one relevant document a query.
FIRST = {"a": 3.0, "b": 2.0, "c": 1.0}
SECOND = {"b": 3.0, "a": 2.0, "c": 1.0}
THIRD = {"c": 3.0, "b": 2.0, "a": 1.0}
QRELS = {"q1": {"a": 1}, "q2": {"a": 1, "b": 0}}
AT_2 = 0.63093

# The same for a query that is answered by x, so that both queries are in clusters of their own.
FIRST_X = {"x": 3.0, "y": 2.0, "z": 1.0}
SECOND_X = {"y": 3.0, "x": 2.0, "z": 1.0}
THIRD_X = {"z": 3.0, "y": 2.0, "x": 1.0}


def values(ndcg):
    return {"ndcg@10": ndcg, "map": ndcg / 2, "mrr@10": ndcg / 4, "rp@10": ndcg / 8, "recall@100": 1.0}


def tiny_report():
    """Two datasets; ``known_index`` exists on the first only."""
    return evaluate_runs(
        {
            "faq": {
                "base": {"q1": SECOND, "q2": THIRD_X},
                "expert:bio": {"q1": FIRST, "q2": {}},
                "expert:law": {"q1": THIRD, "q2": FIRST_X},
                "routed": {"q1": FIRST, "q2": SECOND_X},
                "known_index": {"q1": FIRST, "q2": THIRD_X},
            },
            "notes": {
                "base": {"q1": FIRST},
                "expert:bio": {"q1": SECOND},
                "expert:law": {"q1": THIRD},
                "routed": {"q1": FIRST},
                "known_index": None,
            },
        },
        {"faq": {"q1": {"a": 1}, "q2": {"x": 1, "y": 0}}, "notes": {"q1": {"a": 1}}},
        weights={"faq": {"base": 0.25, "bio": 0.25, "law": 0.5, "bm25": 0.3}},
        seen={"faq": {"y", "c"}, "notes": {"a"}},
        repeated={"faq": {"q2"}, "notes": {"q1"}},
        actions=["base", "expert:bio", "expert:law"],
        provenance=Provenance(
            versions={"routeret": "0.1.0", "faiss": None}, split="test", seed=0, pack="3f9c", indexes={"faq": "77b0"}
        ),
    )


def test_scores_of_every_system_by_hand():
    faq = tiny_report().datasets["faq"]
    assert faq.n_queries == 2
    ndcg = {name: measures["ndcg@10"] for name, measures in faq.systems.items()}
    assert ndcg == pytest.approx(
        {
            "base": (AT_2 + 0.5) / 2,
            "routed": (1 + AT_2) / 2,
            "known_index": (1 + 0.5) / 2,
            "expert:bio": (1 + 0) / 2,
            "expert:law": (0.5 + 1) / 2,
            "dataset_oracle": (0.5 + 1) / 2,
            "query_oracle": 1.0,
        },
        abs=1e-5,
    )


def test_difference_to_base_by_hand():
    difference = tiny_report().datasets["faq"].diff_to_base["routed"]
    # Two differences, 1 - 0.631 and 0.631 - 0.5; a resample of two has either one alone in a quarter of the cases.
    assert difference.mean == pytest.approx((1 - AT_2 + AT_2 - 0.5) / 2, abs=1e-5)
    assert difference.low == pytest.approx(AT_2 - 0.5, abs=1e-5)
    assert difference.high == pytest.approx(1 - AT_2, abs=1e-5)
    # Of four sign patterns of two clusters, ++ and -- lie as far out.
    assert difference.p_value == 2 / 4
    assert tiny_report().datasets["faq"].n_clusters == 2


def test_queries_with_one_answer_are_one_cluster():
    per_query = {"base": {"q1": values(0.5), "q2": values(0.5)}, "routed": {"q1": values(0.7), "q2": values(0.9)}}
    dataset = assemble_dataset(per_query, QRELS)
    assert dataset.n_clusters == 1
    assert dataset.diff_to_base["routed"] == Difference(0.3, 0.3, 0.3, p_value=1.0)
    apart = assemble_dataset(per_query, {"q1": {"a": 1}, "q2": {"b": 1}}).diff_to_base["routed"]
    assert (apart.mean, apart.low, apart.high, apart.p_value) == (0.3, 0.2, 0.4, 0.5)


def test_a_system_may_be_a_hundredth_worse_and_no_more():
    assert Difference(mean=0.0, low=-0.0099, high=0.02).non_inferior
    assert not Difference(mean=0.0, low=-0.01, high=0.02).non_inferior


def test_difference_over_datasets_by_hand():
    report = tiny_report()
    routed = report.diff_to_base["routed"]
    # faq gains 0.25 on the mean and notes nothing; notes is drawn twice in a quarter of the cases.
    assert (routed.mean, routed.low) == (0.125, 0.0)
    # In a 64th, faq is drawn twice with its better query only; in a 16th, with that only and with both.
    assert routed.high == pytest.approx((1 - AT_2 + 0.25) / 2, abs=1e-5)
    assert (routed.p_value, routed.p_holm) == (None, None)
    # Over the one dataset that has it, it is that dataset's own.
    known = report.datasets["faq"].diff_to_base["known_index"]
    assert report.diff_to_base["known_index"] == replace(known, p_value=None, p_holm=None)
    nowhere = evaluate_runs({"faq": {"base": {"q1": FIRST}, "known_index": None}}, {"faq": {"q1": {"a": 1}}})
    assert nowhere.diff_to_base == {"base": Difference(0.0, 0.0, 0.0), "known_index": None}


def test_all_comparisons_of_a_report_are_one_family():
    n = 12
    qrels = {f"q{number}": {f"d{number}": 1} for number in range(n)}
    found = {query: {document: 1.0 for document in grades} for query, grades in qrels.items()}
    half = {query: found[query] if number % 2 else {} for number, query in enumerate(qrels)}
    runs = {"base": {query: {"other": 1.0} for query in qrels}, "routed": found, "hybrid": half, "expert:bio": found}
    both = {"one": runs, "two": {**runs, "hybrid": None}}
    report = evaluate_runs(both, dict.fromkeys(both, qrels), actions=[*runs])
    one, two = (report.datasets[name].diff_to_base for name in ("one", "two"))
    # All 12 queries gain as much: two of 2 ** 12 patterns lie as far out; of 6 queries, two of 2 ** 6.
    assert one["routed"].p_value == round(2 / 2**12, 6)
    assert one["hybrid"].p_value == 2 / 2**6
    # The family: three comparisons on the first and two on the second; the largest is taken as it is.
    assert one["routed"].p_holm == two["expert:bio"].p_holm == pytest.approx(5 * 2 / 2**12, abs=1e-5)
    assert one["hybrid"].p_holm == 2 / 2**6
    assert (one["base"].p_holm, one["query_oracle"].p_holm) == (None, None)
    assert two["hybrid"] is None


def test_mean_and_median_count_every_dataset_once():
    report = tiny_report()
    assert report.mean["base"]["ndcg@10"] == pytest.approx(((AT_2 + 0.5) / 2 + 1) / 2, abs=1e-5)
    assert report.median["base"]["ndcg@10"] == pytest.approx(((AT_2 + 0.5) / 2 + 1) / 2, abs=1e-5)


def test_a_system_that_one_dataset_lacks():
    report = tiny_report()
    notes = report.datasets["notes"]
    assert notes.systems["known_index"] is None
    assert notes.diff_to_base["known_index"] is None
    assert report.mean["known_index"]["ndcg@10"] == 0.75
    assert report.n_datasets("known_index") == 1
    nowhere = evaluate_runs({"faq": {"base": {"q1": FIRST}, "known_index": None}}, {"faq": {"q1": {"a": 1}}})
    assert nowhere.mean["known_index"] is None
    assert nowhere.median["known_index"] is None


def test_median_of_three_datasets_is_the_middle_one():
    runs = {"x": {"base": {"q": FIRST}}, "y": {"base": {"q": SECOND}}, "z": {"base": {"q": THIRD}}}
    report = evaluate_runs(runs, dict.fromkeys(runs, {"q": {"a": 1}}))
    assert report.median["base"]["ndcg@10"] == pytest.approx(AT_2, abs=1e-5)
    assert report.mean["base"]["ndcg@10"] == pytest.approx((1 + AT_2 + 0.5) / 3, abs=1e-5)


def test_strata_are_null_where_empty_and_where_unknown():
    report = tiny_report()
    # In faq, y is a training positive but not relevant (grade 0), so no query is seen.
    assert report.datasets["faq"].gold_seen is None
    assert report.datasets["faq"].gold_unseen.n_queries == 2
    assert report.datasets["notes"].gold_seen.n_queries == 1
    assert report.datasets["notes"].gold_unseen is None
    unknown = evaluate_runs({"faq": {"base": {"q1": FIRST}}}, {"faq": {"q1": {"a": 1}}}).datasets["faq"]
    assert unknown.to_json()["strata"] == {"gold_seen": None, "gold_unseen": None, "fresh": None}


def test_fresh_queries_are_those_that_repeat_no_training_query():
    report = tiny_report()
    fresh = report.datasets["faq"].fresh
    assert (fresh.n_queries, fresh.systems["routed"]["ndcg@10"]) == (1, 1.0)
    assert fresh.systems["known_index"]["ndcg@10"] == 1.0
    assert report.datasets["notes"].fresh is None


def test_strata_split_the_queries():
    per_query = {"base": {"q1": values(0.2), "q2": values(0.6), "q3": values(0.4)}, "known_index": None}
    qrels = {"q1": {"a": 1, "x": 2}, "q2": {"b": 1}, "q3": {"c": 1}}
    dataset = assemble_dataset(per_query, qrels, seen={"x", "b"})
    assert dataset.gold_seen.n_queries == 2
    assert dataset.gold_seen.systems["base"] == pytest.approx({**values(0.4), "recall@100": 1.0})
    assert dataset.gold_unseen.systems == {"base": pytest.approx(values(0.4)), "known_index": None}
    assert dataset.gold_unseen.n_queries == 1


def test_oracles_by_hand():
    actions = {
        "base": {"q1": values(0.5), "q2": values(0.5)},
        "expert:bio": {"q1": values(0.9), "q2": values(0.2)},
        "expert:law": {"q1": values(0.1), "q2": values(0.8)},
    }
    assert dataset_oracle(actions) == actions["expert:bio"]
    assert query_oracle(actions) == {"q1": values(0.9), "q2": values(0.8)}
    with pytest.raises(InputError, match="0 actions"):
        query_oracle({})


def test_regret_by_hand():
    report = tiny_report()
    # The oracle finds both answers at rank 1; the base at ranks 2 and 3, routed at ranks 1 and 2.
    faq = report.datasets["faq"].regret
    assert faq["base"] == Regret(mean=pytest.approx((1 - AT_2 + 0.5) / 2, abs=1e-5), zero_share=0.0)
    assert faq["routed"] == Regret(mean=pytest.approx((1 - AT_2) / 2, abs=1e-5), zero_share=0.5)
    assert faq["query_oracle"] == Regret(mean=0.0, zero_share=1.0)
    assert report.datasets["notes"].regret["known_index"] is None
    over = report.against_oracles["routed"].regret
    assert over == Regret(mean=pytest.approx((1 - AT_2) / 4, abs=1e-5), zero_share=0.75)


def test_a_system_that_beats_the_oracle_does_not_pay_for_other_queries():
    per_query = {
        "base": {"q1": values(0.5), "q2": values(0.5)},
        "routed": {"q1": values(0.9), "q2": values(0.3)},
    }
    regret = assemble_dataset(per_query, QRELS, actions=["base"]).regret
    assert regret["routed"] == Regret(mean=0.1, zero_share=0.5)


def test_closed_gaps_by_hand():
    report = tiny_report()
    mean = {name: measures["ndcg@10"] for name, measures in report.mean.items()}
    # The base is better than either expert over both datasets.
    assert report.best_single_model == "base"
    routed = report.against_oracles["routed"]
    gaps = {name: mean[name] - mean["base"] for name in ("routed", "dataset_oracle", "query_oracle")}
    assert routed.from_base["dataset_oracle"] == pytest.approx(gaps["routed"] / gaps["dataset_oracle"], abs=1e-4)
    assert routed.from_base["query_oracle"] == pytest.approx(gaps["routed"] / gaps["query_oracle"], abs=1e-4)
    assert routed.from_best_single == routed.from_base
    # On faq alone, which alone has it, the gaps are 0.184535 and 0.434535.
    known = report.against_oracles["known_index"].from_base
    assert [known["dataset_oracle"], known["query_oracle"]] == pytest.approx([1.0, 0.184535 / 0.434535], abs=1e-4)
    assert report.against_oracles["query_oracle"].from_base["query_oracle"] == 1.0
    assert report.against_oracles["base"].from_base["dataset_oracle"] == 0.0


def test_closed_gaps_from_the_best_single_expert():
    per_query = {
        "base": {"q1": values(0.2), "q2": values(0.2)},
        "expert:bio": {"q1": values(0.7), "q2": values(0.3)},
        "expert:law": {"q1": values(0.1), "q2": values(0.5)},
        "routed": {"q1": values(0.6), "q2": values(0.5)},
    }
    dataset = assemble_dataset(per_query, QRELS, actions=["base", "expert:bio", "expert:law"])
    report = Report.from_datasets({"faq": dataset})
    # Means: base 0.2, bio 0.5, law 0.3, routed 0.55, query oracle 0.6; bio is the data-set oracle as well.
    assert report.best_single_model == "expert:bio"
    routed = report.against_oracles["routed"]
    expected = {"dataset_oracle": 0.35 / 0.3, "query_oracle": 0.35 / 0.4}
    assert routed.from_base == pytest.approx(expected, abs=1e-5)
    assert routed.from_best_single == {"dataset_oracle": None, "query_oracle": pytest.approx(0.5)}


def test_closed_gaps_name_every_oracle_that_was_measured(tmp_path):
    per_query = {
        "base": {"q1": values(0.2), "q2": values(0.2)},
        "routed": {"q1": values(0.6), "q2": values(0.4)},
        "query_oracle_hybrid": {"q1": values(0.9), "q2": values(0.7)},
        "query_oracle_null": {"q1": values(0.3), "q2": values(0.2)},
    }
    report = Report.from_datasets({"faq": assemble_dataset(per_query, QRELS, actions=["base", "routed"])})
    # Means: base 0.2, routed 0.5 (and the plain oracles with it), the oracle over more actions 0.8, the null 0.25.
    assert report.against_oracles["routed"].from_base == {
        "dataset_oracle": 1.0,
        "query_oracle": 1.0,
        "query_oracle_hybrid": pytest.approx(0.5),
    }
    assert closed_gaps(report).header == ("system", "dataset_oracle", "query_oracle", "query_oracle_hybrid")
    assert closed_gaps(report).rows == (
        ("routed", "100 %", "100 %", "50 %"),
        ("query_oracle_null", "17 %", "17 %", "8 %"),
    )
    assert "share closed of the gap from the base to each oracle" in summary_text(report)
    # They are shown apart from the systems.
    assert report.shown() == ["base", "routed", "dataset_oracle", "query_oracle"]
    oracles = ["base", "dataset_oracle", "query_oracle", "query_oracle_null", "query_oracle_hybrid"]
    assert report.oracles() == oracles
    assert summary_text(report).startswith(report.table(systems=oracles))
    report.save(tmp_path / "report.json")
    assert markdown(turned(report.values(systems=oracles))) in render([tmp_path / "report.json"])
    assert closed_gaps(tiny_report()) is None
    assert closed_gaps(replace(report, against_oracles=None)) is None
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_without_oracles_there_is_nothing_to_compare_with():
    report = evaluate_runs({"faq": {"base": {"q1": FIRST}}}, {"faq": {"q1": {"a": 1}}})
    assert (report.best_single_model, report.against_oracles, report.datasets["faq"].regret) == (None, None, None)


def test_oracles_take_the_first_of_equal_actions():
    base = {"q1": {**values(0.5), "map": 0.1}}
    expert = {"q1": {**values(0.5), "map": 0.9}}
    assert dataset_oracle({"base": base, "expert:bio": expert}) == base
    assert query_oracle({"base": base, "expert:bio": expert}) == base


def test_self_hits_are_a_property_of_the_dataset():
    runs = {name: {"base": {"a": {"a": 2.0, "b": 1.0}}} for name in ("keeps", "drops")}
    report = evaluate_runs(runs, dict.fromkeys(runs, {"a": {"b": 1}}), drop_self_hits={"drops"})
    assert report.datasets["keeps"].systems["base"]["mrr@10"] == 0.5
    assert report.datasets["drops"].systems["base"]["mrr@10"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": {"other": {"base": {}}}}, "'other' is in runs but not in qrels, which has faq"),
        ({"runs": {}}, "0 datasets"),
        ({"runs": {"faq": {"routed": {"q1": FIRST}}}}, "the systems are routed; expected 'base'"),
        ({"runs": {"faq": {"base": None}}}, "expected 'base'"),
        ({"qrels": {"faq": {}}}, "0 judged queries"),
        ({"actions": ["base", "expert:bio"]}, "unknown action 'expert:bio'; the systems are base"),
        ({"runs": {"faq": {"base": {}, "query_oracle": {}}}, "actions": ["base"]}, "'query_oracle' is both"),
        ({"weights": {"faw": {}}}, "'faw' is in weights but not in runs, which has faq"),
        ({"seen": {"faw": set()}}, "'faw' is in seen"),
        ({"repeated": {"faw": set()}}, "'faw' is in repeated"),
        ({"drop_self_hits": {"faw"}}, "'faw' is in drop_self_hits"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    good = {"runs": {"faq": {"base": {"q1": FIRST}}}, "qrels": {"faq": {"q1": {"a": 1}}}}
    with pytest.raises(InputError, match=message):
        evaluate_runs(**{**good, **arguments})


def test_systems_measured_on_different_queries_are_refused():
    per_query = {"base": {"q1": values(0.5)}, "routed": {"q1": values(0.5), "q2": values(0.5)}}
    with pytest.raises(InputError, match="'routed' and 'base' were measured on different queries .'q2'"):
        assemble_dataset(per_query, QRELS, actions=["base", "routed"])
    with pytest.raises(InputError, match="query 'q9' was measured but is not in the qrels"):
        assemble_dataset({"base": {"q9": values(0.5)}}, QRELS)


def test_report_has_the_golden_form(tmp_path):
    tiny_report().save(tmp_path / "report.json")
    assert (tmp_path / "report.json").read_text() == (GOLDEN / "report.json").read_text()


def test_report_survives_its_json_form(tmp_path):
    report = tiny_report()
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report
    report.save(tmp_path / "report.json")
    assert Report.load(tmp_path / "report.json") == report
    assert Report.load(tmp_path / "report.json").table() == report.table()


def test_a_report_from_before_there_were_spans_says_that_documents_were_whole():
    values = tiny_report().to_json()
    del values["provenance"]["chunker"]
    assert Report.from_json(values) == tiny_report()


def test_a_report_from_before_there_were_clusters_is_read():
    values = tiny_report().to_json()
    for name in ("diff_to_base", "best_single_model", "against_oracles", "pairs"):
        del values[name]
    for dataset in values["datasets"].values():
        del dataset["n_clusters"], dataset["regret"], dataset["strata"]["fresh"]
        for difference in filter(None, dataset["diff_to_base"].values()):
            del difference["p_value"], difference["p_holm"]
    old = Report.from_json(values)
    assert old.table() == tiny_report().table()
    assert (old.diff_to_base, old.against_oracles, old.datasets["faq"].fresh) == (None, None, None)
    assert (old.pairs, summary_text(old)) == (None, "")
    assert old.datasets["faq"].diff_to_base["routed"].p_value is None
    assert Report.from_json(json.loads(json.dumps(old.to_json()))) == old


def test_a_report_from_before_there_was_a_measure_has_none_of_it():
    values = json.loads(json.dumps(tiny_report().to_json()))
    for systems in (values["mean"], values["median"], *(one["systems"] for one in values["datasets"].values())):
        for measures in systems.values():
            if measures:
                del measures["rp@10"]
    old = Report.from_json(values)
    assert old.table() == tiny_report().table()
    rows = old.values(measure="rp@10", systems=["base", "routed"]).rows
    assert rows == (
        ("faq", 2, None, None),
        ("notes", 1, None, None),
        ("mean", "", None, None),
        ("median", "", None, None),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; write it with: routeret eval"),
        ("{", "is not valid JSON"),
        ("[]", "is not a report"),
        ('{"merged": true}', "KeyError: 'provenance'"),
    ],
)
def test_broken_report_files_are_named(tmp_path, content, message):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ArtifactError, match=message):
        Report.load(path)


def test_text_table():
    assert tiny_report().table(systems=["base", "routed", "known_index"]).splitlines() == [
        "                                 known_",
        "dataset  queries   base  routed   index",
        "-------  -------  -----  ------  ------",
        "faq            2  0.565   0.815   0.750",
        "notes          1  1.000   1.000       -",
        "mean              0.783   0.908   0.750",
        "median            0.783   0.908   0.750",
        "known_index: mean and median over 1 of 2 datasets",
    ]


def test_the_summary_of_all_datasets():
    assert summary_text(tiny_report()).splitlines() == [
        "                                                                    base_  base_  single_  single_",
        "                                           not_                       to_    to_      to_      to_",
        "system       - base              95 %  inferior  regret  no_regret    set  query      set    query",
        "-----------  ------  ----------------  --------  ------  ---------  -----  -----  -------  -------",
        "routed       +0.125  +0.000 to +0.310       yes   0.092       75 %  135 %   58 %    135 %     58 %",
        "known_index  +0.185  +0.000 to +0.369       yes   0.250       50 %  100 %   42 %    100 %     42 %",
        "95 %: over datasets and clusters of queries; not_inferior: even its low end loses less than 0.01",
        "regret: nDCG@10 below the query oracle; no_regret: share of the queries without regret",
        "base_to_set, single_to_query: share closed of the gap from the base, or the best single model (base), "
        "to the data-set or query oracle",
        "",
        "routed - base, 2 sets: inferior on 0; not shown on 2 (faq +0.250, notes +0.000)",
        "superior: shown to be above 0; not inferior: above -0.01; inferior: below -0.01; not shown: none of these; "
        "each at 5 %, adjusted over the sets of its line (Holm)",
    ]


def pair_of_systems(difference, *, n):
    """A set of n queries with answers of their own, on which ``routed`` differs from the base by so much."""
    base = {f"q{number}": values(0.5) for number in range(n)}
    routed = {query: values(0.5 + difference) for query in base}
    return assemble_dataset({"base": base, "routed": routed}, {query: {query: 1} for query in base})


def test_what_is_shown_set_by_set_by_hand():
    differences = {"up": (0.1, 12), "same": (0.0, 12), "down": (-0.1, 12), "few": (0.3, 2), "near": (-0.005, 12)}
    report = Report.from_datasets({name: pair_of_systems(one, n=n) for name, (one, n) in differences.items()})
    (pair,) = report.pairs
    assert (pair.system, pair.baseline) == ("routed", "base")
    verdicts = {name: one.verdict for name, one in pair.datasets.items()}
    assert verdicts == {
        "up": "superior",
        "same": "not inferior",
        "down": "inferior",
        "few": "not shown",
        "near": "not inferior",
    }
    # Of 2 ** 12 sign patterns two lie as far out, of 2 ** 2 as well; where all are 0, nothing differs from 0.
    least = 5 * 2 / 2**12
    p_zero, p_margin = ([getattr(one, name) for one in pair.datasets.values()] for name in ("p_zero", "p_margin"))
    assert p_zero == pytest.approx([least, 1, least, 1, least], abs=1e-5)
    assert p_margin == pytest.approx([least, least, least, 0.5, least], abs=1e-5)
    assert (pair.datasets["up"].mean, pair.datasets["up"].low, pair.datasets["up"].high) == (0.1, 0.1, 0.1)
    assert str(pair) == (
        "routed - base, 5 sets: superior on 1 (up +0.100); not inferior on 2 (near -0.005, same +0.000); "
        "inferior on 1 (down -0.100); not shown on 1 (few +0.300)"
    )
    assert pair.sets("superior") == ["up"]
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_a_loss_that_is_shown_may_be_too_small_to_count():
    (pair,) = Report.from_datasets({"near": pair_of_systems(-0.005, n=12)}).pairs
    one = pair.datasets["near"]
    assert (one.p_zero, one.verdict) == (round(2 / 2**12, 6), "not inferior")


def test_a_set_of_one_cluster_shows_nothing():
    per_query = {"base": {"q1": values(0.1), "q2": values(0.1)}, "routed": {"q1": values(0.9), "q2": values(0.9)}}
    (pair,) = Report.from_datasets({"faq": assemble_dataset(per_query, QRELS)}).pairs
    assert pair.datasets["faq"].verdict == "not shown"


def test_a_pair_goes_over_the_sets_that_have_both():
    one, two = pair_of_systems(0.1, n=3), assemble_dataset({"base": {"q1": values(0.5)}, "routed": None}, QRELS)
    assert [list(pair.datasets) for pair in Report.from_datasets({"one": one, "two": two}).pairs] == [["one"]]
    assert Report.from_datasets({"two": two}).pairs == ()
    assert Report.from_datasets({"one": replace(one, scores=None)}).pairs is None


def test_a_report_has_no_summary_without_oracles_or_other_systems():
    runs = {"base": {"q1": FIRST}, "routed": {"q1": FIRST}, "known_index": None}
    report = evaluate_runs({"faq": runs}, {"faq": {"q1": {"a": 1}}})
    table = summary(report)
    assert table.header == ("system", "- base", "95 %", "not_inferior")
    assert table.rows == (("routed", "+0.000", "+0.000 to +0.000", "yes"), ("known_index", None, None, None))
    assert summary(report, systems=["base"]).rows == (("base", "+0.000", "+0.000 to +0.000", "yes"),)
    assert summary_text(replace(report, diff_to_base=None)) == ""
    assert summary_text(evaluate_runs({"faq": {"base": {"q1": FIRST}}}, {"faq": {"q1": {"a": 1}}})) == ""


def test_markdown_table_and_choice_of_columns():
    report = tiny_report()
    assert report.markdown(measure="mrr@10", systems=["expert:bio"]).splitlines() == [
        "| dataset | queries | expert:bio |",
        "| --- | ---: | ---: |",
        "| faq | 2 | 0.500 |",
        "| notes | 1 | 0.500 |",
        "| mean |  | 0.500 |",
        "| median |  | 0.500 |",
    ]
    assert "expert:bio" not in report.markdown()
    with pytest.raises(InputError, match="unknown measure 'ndcg'; this report has ndcg@10, map"):
        report.table(measure="ndcg")
    with pytest.raises(InputError, match="unknown system 'router'; this report has base, routed"):
        report.table(systems=["router"])


def test_layout_without_rows_and_with_odd_cells():
    assert aligned(Table(header=("a", "b"), rows=())) == "a  b\n-  -"
    assert markdown(Table(header=("a", "b"), rows=(("x|y", None),))).endswith("| x\\|y | - |")
    assert system_order(["zeta", "query_oracle", "expert:b", "base", "expert:a"]) == [
        "base",
        "query_oracle",
        "expert:a",
        "expert:b",
        "zeta",
    ]


def ranked(**rank_by_query):
    """A run that finds the document of every query at a rank; a query's document has the query's id."""
    return {
        query: {f"x{place}": 10.0 - place for place in range(1, rank)} | {query: 10.0 - rank}
        for query, rank in rank_by_query.items()
    }


def test_comparison_by_hand():
    qrels = {name: {name: 1} for name in ("q1", "q2", "q3", "q4")}
    run, baseline = ranked(q1=1, q2=1, q3=2, q4=2), ranked(q1=2, q2=2, q3=2)
    comparison = compare(run, baseline, qrels=qrels, by="mrr@10", texts={"q4": "tür"})
    assert (comparison.run, comparison.baseline) == (0.75, 0.375)
    assert (comparison.wins, comparison.ties, comparison.losses, comparison.n_clusters) == (3, 1, 0, 4)
    assert comparison.test.mean == 0.375
    assert comparison.test.p_value == 2 / 8
    assert comparison.non_inferior
    assert comparison.to_json()["test"]["n"] == 4
    assert str(comparison).startswith("mrr@10 0.375 -> 0.750: +0.375 [")
    # All three changes are 0.5: by id.
    assert [(one.query_id, one.text, one.baseline, one.run) for one in comparison.changes] == [
        ("q1", "", 0.5, 1.0),
        ("q2", "", 0.5, 1.0),
        ("q4", "tür", 0.0, 0.5),
    ]
    assert (compare(baseline, run, qrels=qrels).losses, compare(run, run, qrels=qrels).test.p_value) == (3, 1.0)
    assert not compare(baseline, run, qrels=qrels).non_inferior


def test_a_comparison_draws_queries_with_one_answer_together():
    qrels = {name: {"a": 1} for name in ("q1", "q2", "q3")} | {"q4": {"b": 1}}
    comparison = compare({"q4": {"b": 1.0}}, {"q1": {"a": 1.0}}, qrels=qrels)
    assert comparison.n_clusters == 2
    # Two clusters, with sums -1 over three queries and +1 over one.
    assert (comparison.test.mean, comparison.test.low, comparison.test.high) == (0.0, pytest.approx(-1 / 3), 1.0)
    assert comparison.test.p_value == 1.0


def test_a_comparison_names_ten_queries():
    qrels = {f"q{number:02}": {f"q{number:02}": 1} for number in range(12)}
    comparison = compare(ranked(**dict.fromkeys(qrels, 1)), {}, qrels=qrels)
    assert [one.query_id for one in comparison.changes] == [f"q{number:02}" for number in range(10)]


def test_bad_comparisons():
    with pytest.raises(InputError, match="unknown measure 'ndcg'"):
        compare({}, {}, qrels={"q": {"a": 1}}, by="ndcg")
    with pytest.raises(InputError, match="judge 0 queries"):
        compare({}, {}, qrels={})


def test_a_table_turned():
    table = Table(("set", "n", "base"), (("faq", 2, 0.5), ("mean", "", None)), notes=("a note",))
    assert turned(table) == Table(("set", "faq", "mean"), (("n", 2, ""), ("base", 0.5, None)), notes=("a note",))
    assert turned(turned(table)) == table


def test_rendered_results_show_what_routing_changes(tmp_path):
    path = tmp_path / "home" / "separate.json"
    path.parent.mkdir()
    tiny_report().save(path)
    text = render([path])
    assert text.startswith("## home / separate\n\nnDCG@10, one index a dataset.\n\n| dataset | faq | notes | mean |")
    assert "known_index: mean and median over 1 of 2 datasets." in text
    # dataset, difference, interval, seen (empty), unseen with its queries, weight off the base 1 - 0.25
    assert "| faq | +0.250 | +0.131 to +0.369 | - | +0.250 (2) | 0.750 |" in text
    assert "| notes | +0.000 | +0.000 to +0.000 | +0.000 (1) | - | - |" in text
    assert "- routed - base, 2 sets: inferior on 0; not shown on 2 (faq +0.250, notes +0.000)" in text
    assert "more actions" not in text
    with pytest.raises(InputError, match="0 result files"):
        render([])


def test_means_of_reports_stand_side_by_side():
    other = evaluate_runs({"set": {"base": {"q1": SECOND}}}, {"set": {"q1": {"a": 1}}})
    table = means({"tiny": tiny_report(), "other": other}, systems=["routed", "base"])
    assert table.header == ("nDCG@10, mean over sets", "tiny", "other")
    # faq and notes count alike: routed ((1 + 0.63093) / 2 + 1) / 2, base ((0.63093 + 0.5) / 2 + 1) / 2.
    assert table.rows == (
        ("routed", pytest.approx(0.90773, abs=1e-5), None),
        ("base", pytest.approx(0.78273, abs=1e-5), pytest.approx(AT_2, abs=1e-5)),
    )
    every = means({"tiny": tiny_report()})
    assert [row[0] for row in every.rows] == system_order(tiny_report().mean)


def test_generated_part_of_a_document(tmp_path):
    path = tmp_path / "README.md"
    path.write_text("# Über\n<!-- begin results -->\nold\n<!-- end results -->\nafter\n", encoding="utf-8")
    assert is_stale(path, "results", content="| new |\n")
    update_document(path, "results", content="| new |\n")
    expected = "# Über\n<!-- begin results -->\n\n| new |\n\n<!-- end results -->\nafter\n"
    assert path.read_text(encoding="utf-8") == expected
    assert not is_stale(path, "results", content="| new |\n")
    assert is_stale(path, "results", content="| newer |")
    update_document(path, "results", content="| new |\n")
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize(
    "document",
    [
        "",
        "<!-- begin results -->",
        "<!-- end results --><!-- begin results -->",
        "<!-- begin results --><!-- end results --><!-- begin results -->",
    ],
)
def test_document_without_its_markers_stays(tmp_path, document):
    path = tmp_path / "README.md"
    path.write_text(document)
    with pytest.raises(InputError, match="expected each once"):
        update_document(path, "results", content="x")
    assert path.read_text() == document


def test_provenance_of_this_environment():
    provenance = Provenance.here("test", seed=3, pack="ab")
    assert (provenance.split, provenance.seed, provenance.pack, provenance.indexes) == ("test", 3, "ab", {})
    versions = installed_versions()
    assert list(versions) == ["routeret", "numpy", "torch", "transformers", "sentence-transformers", "faiss"]
    assert versions["numpy"] == __import__("numpy").__version__
    assert Provenance.from_json(provenance.to_json()) == provenance
