import json
from pathlib import Path

import pytest

from routeret.errors import ArtifactError, InputError
from routeret.evaluation import (
    Provenance,
    Report,
    assemble_dataset,
    compare,
    evaluate_runs,
    is_stale,
    render,
    update_document,
)
from routeret.evaluation.layout import Table, aligned, markdown, system_order
from routeret.evaluation.oracles import dataset_oracle, query_oracle
from routeret.evaluation.provenance import installed_versions

GOLDEN = Path(__file__).parent.parent / "golden"

# Rank 1 gives nDCG 1, rank 2 gives 1 / log2(3) = 0.631, rank 3 gives 0.5: one relevant document a query.
FIRST = {"a": 3.0, "b": 2.0, "c": 1.0}
SECOND = {"b": 3.0, "a": 2.0, "c": 1.0}
THIRD = {"c": 3.0, "b": 2.0, "a": 1.0}
QRELS = {"q1": {"a": 1}, "q2": {"a": 1, "b": 0}}
AT_2 = 0.63093


def values(ndcg):
    return {"ndcg@10": ndcg, "map": ndcg / 2, "mrr@10": ndcg / 4, "rp@10": ndcg / 8, "recall@100": 1.0}


def tiny_report():
    """Two datasets; ``known_index`` exists on the first only."""
    return evaluate_runs(
        {
            "faq": {
                "base": {"q1": SECOND, "q2": THIRD},
                "expert:bio": {"q1": FIRST, "q2": {}},
                "expert:law": {"q1": THIRD, "q2": FIRST},
                "routed": {"q1": FIRST, "q2": SECOND},
                "known_index": {"q1": FIRST, "q2": THIRD},
            },
            "notes": {
                "base": {"q1": FIRST},
                "expert:bio": {"q1": SECOND},
                "expert:law": {"q1": THIRD},
                "routed": {"q1": FIRST},
                "known_index": None,
            },
        },
        {"faq": {"q1": {"a": 1}, "q2": {"a": 1, "b": 0}}, "notes": {"q1": {"a": 1}}},
        weights={"faq": {"base": 0.25, "bio": 0.25, "law": 0.5, "bm25": 0.3}},
        seen={"faq": {"b", "c"}, "notes": {"a"}},
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
    # In faq, b is a training positive but not relevant (grade 0), so no query is seen.
    assert report.datasets["faq"].gold_seen is None
    assert report.datasets["faq"].gold_unseen.n_queries == 2
    assert report.datasets["notes"].gold_seen.n_queries == 1
    assert report.datasets["notes"].gold_unseen is None
    unknown = evaluate_runs({"faq": {"base": {"q1": FIRST}}}, {"faq": {"q1": {"a": 1}}}).datasets["faq"]
    assert unknown.to_json()["strata"] == {"gold_seen": None, "gold_unseen": None}


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


def test_comparison_by_hand():
    qrels = {name: {"a": 1} for name in ("q1", "q2", "q3", "q4")}
    run = {"q1": FIRST, "q2": FIRST, "q3": SECOND, "q4": SECOND}
    baseline = {"q1": SECOND, "q2": SECOND, "q3": SECOND}
    comparison = compare(run, baseline, qrels=qrels, by="mrr@10")
    assert (comparison.run, comparison.baseline) == (0.75, 0.375)
    assert (comparison.wins, comparison.ties, comparison.losses) == (3, 1, 0)
    assert comparison.test.mean == 0.375
    assert comparison.test.p_value == 2 / 8
    assert comparison.to_json()["test"]["n"] == 4
    assert str(comparison).startswith("mrr@10 0.375 -> 0.750: +0.375 [")
    assert (compare(baseline, run, qrels=qrels).losses, compare(run, run, qrels=qrels).test.p_value) == (3, 1.0)


def test_bad_comparisons():
    with pytest.raises(InputError, match="unknown measure 'ndcg'"):
        compare({}, {}, qrels={"q": {"a": 1}}, by="ndcg")
    with pytest.raises(InputError, match="judge 0 queries"):
        compare({}, {}, qrels={})


def test_rendered_results_show_what_routing_changes(tmp_path):
    path = tmp_path / "home" / "separate.json"
    path.parent.mkdir()
    tiny_report().save(path)
    text = render([path])
    assert text.startswith("**home / separate** (nDCG@10, one index a dataset)")
    assert "known_index: mean and median over 1 of 2 datasets." in text
    # dataset, difference, interval, seen (empty), unseen with its queries, weight off the base 1 - 0.25
    assert "| faq | +0.250 | +0.131 to +0.369 | - | +0.250 (2) | 0.750 |" in text
    assert "| notes | +0.000 | +0.000 to +0.000 | +0.000 (1) | - | - |" in text
    with pytest.raises(InputError, match="0 result files"):
        render([])


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
