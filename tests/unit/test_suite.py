"""Suites: an experiment in one file, on tiny data sets and an encoder that needs no model."""

import json
import shutil
from pathlib import Path

import pytest
from letters import ANSWERS, write_letters

from routeret.artifact import sha256_of
from routeret.downloads import public_sets
from routeret.encoders.hashing import HashingEncoder
from routeret.errors import ArtifactError, CorpusError, InputError
from routeret.evaluation import EvaluationSettings, Report, evaluate, suite, summary_text
from routeret.evaluation.suite import Suite, SuiteReport, run_suite
from routeret.evaluation.systems import known_systems, require_systems
from routeret.packs import read_pack
from routeret.training import lora, pack
from routeret.training.linear import LinearRecipe

ROOT = Path(__file__).parents[2]
SUITE = """
name = "tiny"
work = "work"
split = "test"
separate = ["one", "two"]
merged = ["two", "one"]
systems = ["expert:up", "multitask", "centroid", "routed", "dataset_oracle", "uniform"]

[pack]
name = "letters"
base = "hashing-32"
data = "data"
seed = 0

[[pack.experts]]
name = "up"
sets = ["one"]

[[pack.experts]]
name = "multitask"
sets = ["one", "two"]
"""
SYSTEMS = [
    "base", "routed", "centroid", "multitask", "uniform", "dataset_oracle", "query_oracle", "expert:multitask",
    "expert:up",
]  # fmt: skip


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Experts of a few steps."""
    monkeypatch.setattr(pack, "LinearRecipe", lambda: LinearRecipe(checkpoints=(5,)))
    monkeypatch.setattr(pack, "SEVERAL_SETS", LinearRecipe(checkpoints=(5,), anchor_weight=0.0))


@pytest.fixture
def file(tmp_path):
    for name, answers in (("one", ANSWERS), ("two", ANSWERS[::-1])):
        qrels = write_letters(tmp_path / "data" / name, answers=answers) / "qrels"
        # Half of the queries are test queries.
        (qrels / "test.tsv").write_text("".join((qrels / "dev.tsv").read_text().splitlines(keepends=True)[:5]))
    return written(tmp_path, SUITE)


def written(folder, text):
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


# --- running ---------------------------------------------------------------------------------------------------------


def test_a_suite_builds_its_pack_and_is_measured_in_both_settings(file, tmp_path):
    news = []
    report = run_suite(file, say=news.append)
    built = tmp_path / "work" / "pack"
    assert news == [f"building the pack 'letters' in {built}"]
    assert (report.suite, report.checksum) == ("tiny", sha256_of(file))
    assert list(report.reports) == ["separate", "merged"]
    assert [one.merged for one in report.reports.values()] == [False, True]
    for one in report.reports.values():
        assert set(one.datasets) == {"one", "two"}
        assert list(one.mean) == SYSTEMS
        assert {dataset.n_queries for dataset in one.datasets.values()} == {4}
        assert one.provenance.split == "test"
    assert read_pack(built).name == "letters"
    # What was measured is what the evaluation of the pack gives.
    sets = [tmp_path / "data" / name for name in ("one", "two")]
    again = evaluate(
        sets,
        pack=built,
        settings=EvaluationSettings(
            systems=["expert:up", "multitask", "centroid", "routed", "dataset_oracle", "uniform"]
        ),
    )
    assert again.to_json() == report.reports["separate"].to_json()


def test_a_second_call_takes_what_is_there(file, tmp_path, monkeypatch):
    first = run_suite(file)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["embeddings", "pack"]

    def refuse(*_, **__):
        raise AssertionError("done again")

    monkeypatch.setattr(suite, "build_pack", refuse)
    monkeypatch.setattr(HashingEncoder, "encode_documents", refuse)
    monkeypatch.setattr(HashingEncoder, "encode_queries", refuse)
    news = []
    assert run_suite(file, say=news.append) == first
    assert news == [f"taking the pack 'letters' that is in {tmp_path / 'work' / 'pack'}"]


def test_another_split_is_measured_with_the_same_pack(file):
    first = run_suite(file)
    report = run_suite(file, split="dev")
    assert {one.provenance.split for one in report.reports.values()} == {"dev"}
    assert {dataset.n_queries for one in report.reports.values() for dataset in one.datasets.values()} == {8}
    assert {one.provenance.pack for one in (*first.reports.values(), *report.reports.values())} == {
        first.reports["merged"].provenance.pack
    }


def test_a_pack_of_another_recipe_is_refused_until_it_is_built_again(file, tmp_path):
    before = run_suite(file).reports["separate"].provenance.pack
    built = tmp_path / "work" / "pack"
    other = written(tmp_path, SUITE.replace("seed = 0", "seed = 1"))
    words = r"pack was built from another recipe \(checksum \w{16}, .* now \w{16}\); remove that folder .* --rebuild"
    with pytest.raises(ArtifactError, match=words):
        run_suite(other)
    assert read_pack(built).manifest["seed"] == 0
    (tmp_path / "work" / ".pack-up-0.001.training").write_text("left by an interrupted build")
    news = []
    after = run_suite(other, rebuild=True, say=news.append)
    assert news == [f"building the pack 'letters' in {built}"]
    assert read_pack(built).manifest["seed"] == 1
    assert after.reports["separate"].provenance.pack != before
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["embeddings", "pack"]
    # Removing the folder does the same.
    shutil.rmtree(built)
    run_suite(file)
    assert read_pack(built).manifest["seed"] == 1


def test_what_does_not_change_the_pack_does_not_build_it_again(file, tmp_path):
    run_suite(file)
    other = written(tmp_path, "# Remarks.\n" + SUITE.replace('"uniform"', '"bm25"').replace('"two", "one"', '"one"'))
    report = run_suite(other)
    assert list(report.reports["merged"].datasets) == ["one"]
    assert "bm25" in report.reports["merged"].mean
    assert report.checksum == sha256_of(other)


def test_a_pack_of_other_data_is_refused(file, tmp_path):
    run_suite(file)
    corpus = tmp_path / "data" / "two" / "corpus.jsonl"
    corpus.write_text(corpus.read_text().replace('"text": "z"', '"text": "zz"'))
    with pytest.raises(ArtifactError, match=r"other data \(.*two/corpus.jsonl has changed, 1 in all\)"):
        run_suite(file)
    assert run_suite(file, rebuild=True).reports["merged"].datasets.keys() == {"one", "two"}


def test_what_is_no_pack_is_not_removed(file, tmp_path):
    mine = tmp_path / "work" / "pack" / "mine.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    for rebuild in (False, True):
        with pytest.raises(ArtifactError, match="has no manifest.json; it is not a routeret pack"):
            run_suite(file, rebuild=rebuild)
    assert mine.read_text() == "precious"


def test_an_interrupted_build_goes_on(file, tmp_path, monkeypatch, e5_model):
    table = "[pack.lora]\nlearning_rates = [1e-2]\ncheckpoints = [1, 2]\nbatch = 8\n\n[[pack.experts]]"
    text = SUITE.replace("hashing-32", str(e5_model)).replace("[[pack.experts]]", table, 1)
    file = written(tmp_path, text.replace('name = "up"', 'name = "up"\nkind = "lora"'))
    whole, calls = lora.many_positives, []

    def interrupted(*arguments, **settings):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*arguments, **settings)

    monkeypatch.setattr(lora, "many_positives", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_suite(file)
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == [".pack-up-0.01.training", "embeddings"]
    report = run_suite(file)
    assert len(calls) == 3
    assert list(report.reports["merged"].mean) == SYSTEMS
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["embeddings", "pack"]


# --- a pack that is there --------------------------------------------------------------------------------------------


def taking(pack, *, more=""):
    """A suite that takes a pack."""
    head = SUITE[: SUITE.index("[pack]")].replace("work = ", f'pack = "{pack}"\ndata = "data"\n{more}\nwork = ')
    return head.replace('"work"', '"other"')


def test_a_suite_takes_a_pack_by_its_folder(file, tmp_path, monkeypatch):
    first = run_suite(file)

    def refuse(*_, **__):
        raise AssertionError("built again")

    monkeypatch.setattr(suite, "build_pack", refuse)
    news = []
    report = run_suite(written(tmp_path, taking("work/pack")), say=news.append)
    assert report.reports == first.reports
    assert (news, [path.name for path in (tmp_path / "other").iterdir()]) == ([], ["embeddings"])
    with pytest.raises(InputError, match=r"takes the pack '.*work/pack' and builds none; leave --rebuild out"):
        run_suite(written(tmp_path, taking("work/pack")), rebuild=True)


def test_every_set_may_be_measured_as_if_it_had_never_been_seen(file, tmp_path):
    run_suite(file)
    other = taking("work/pack", more="leave_out = true").replace('"expert:up", ', "")
    report = run_suite(written(tmp_path, other)).reports["separate"]
    assert report.provenance.left_out
    sets = [tmp_path / "data" / name for name in ("one", "two")]
    systems = ["multitask", "centroid", "routed", "dataset_oracle", "uniform"]
    again = evaluate(
        sets, pack=tmp_path / "work" / "pack", settings=EvaluationSettings(systems=systems, leave_out=True)
    )
    assert report.to_json() == again.to_json()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (taking("nothing"), "'nothing' is neither a pack nor a folder; there are the packs"),
        (taking("minilm-domains"), "unknown system 'expert:up'"),
        (taking("minilm-domains").replace('data = "data"', ""), "'minilm-domains' and lacks the field 'data'"),
        (taking("minilm-domains", more="seeds = [1, 2]"), "has 'seeds', but a pack that is taken has one"),
        (taking("minilm-domains", more="leave_out = 1"), "wrong type: leave_out is 1, expected true or false"),
        (taking("minilm-domains").replace('data = "data"', "data = 3"), "wrong type: data is 3, expected text"),
        (SUITE.split("[pack]")[0] + "pack = 3", "has pack = 3; expected the name or folder of a pack, or a table"),
        ('data = "data"\n' + SUITE, "has 'data' beside .pack."),
        ("seeds = [1]\n" + SUITE, r"has seeds = \[1\]; expected a list of at least two, each once"),
        ("seeds = [1, 1]\n" + SUITE, r"has seeds = \[1, 1\]; expected"),
        ("seeds = 3\n" + SUITE, "the suite .* wrong type: seeds is 3, expected a list, each a whole number$"),
        ("seeds = [1, true]\n" + SUITE, r"wrong type: seeds is \[1, True\], expected a list, each a whole number$"),
        (
            "seeds = [1, -2]\n" + SUITE,
            r"\[pack\] of the suite .* the seed is -2, expected a whole number of at least",
        ),
    ],
)
@pytest.mark.usefixtures("file")
def test_what_is_wrong_with_a_pack_or_seeds_is_named(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        run_suite(written(tmp_path, text))
    assert not (tmp_path / "work").exists()


# --- several seeds ---------------------------------------------------------------------------------------------------


def test_a_suite_with_seeds_builds_a_pack_of_each(file, tmp_path):
    single = run_suite(written(tmp_path, SUITE.replace("seed = 0", "seed = 3")))
    other = SUITE.replace('work = "work"', 'work = "several"').replace('merged = ["two", "one"]\n', "")
    file = written(tmp_path, "seeds = [3, 4]\n" + other)
    report = run_suite(file)
    assert sorted(path.name for path in (tmp_path / "several").iterdir()) == ["embeddings", "pack-3", "pack-4"]
    found = report.reports["separate"]
    assert list(found.reports) == [str(tmp_path / "several" / f"pack-{seed}") for seed in (3, 4)]
    assert [read_pack(pack).manifest["seed"] for pack in found.reports] == [3, 4]
    # The pack of seed 3 is the one that a suite of this seed alone builds.
    assert next(iter(found.reports.values())).mean == single.reports["separate"].mean
    assert SuiteReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert report.tables() == f"tiny, separate\n\n{found.table()}"
    news = []
    assert run_suite(file, say=news.append) == report
    assert [line.split(" ")[0] for line in news] == ["taking", "taking"]


# --- public data sets ------------------------------------------------------------------------------------------------


def test_public_sets_are_fetched_when_the_call_says_so(file, tmp_path, monkeypatch):
    run_suite(file)
    asked = []

    def fetched(folders, *, show_progress):
        asked.append(([folder.name for folder in folders], show_progress))
        write_letters(tmp_path / "sets" / "two")

    monkeypatch.setattr(suite, "fetch_missing", fetched)
    text = taking("work/pack").replace('data = "data"', 'data = "sets"').replace('split = "test"', 'split = "dev"')
    text = text.replace('separate = ["one", "two"]', 'separate = ["two"]').replace('merged = ["two", "one"]', "")
    with pytest.raises(InputError, match=r"two is missing \(1 in all\)"):
        run_suite(written(tmp_path, text))
    assert asked == []
    assert list(run_suite(written(tmp_path, text), download=True).reports["separate"].datasets) == ["two"]
    assert asked == [(["two"], False)]


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('split = "test"', 'splt = "test"', "the suite .* has the unknown field 'splt'; its fields are name, work"),
        ('split = "test"', "", "the suite .* lacks the field 'split'"),
        ('separate = ["one", "two"]\nmerged = ["two", "one"]', "", "measures nothing: give data sets as 'separate'"),
        ('merged = ["two", "one"]', 'merged = ["three"]', r"three is missing \(1 in all\)"),
        (
            '"expert:up"',
            '"expert:down"',
            "unknown system 'expert:down'; there are base, .*, expert:multitask, expert:up",
        ),
        ('"expert:up"', '"routd"', "unknown system 'routd'; there are base, bm25, hybrid, routed"),
        ('work = "work"', "work = 3", "the suite .* holds a value of the wrong type: work is 3, expected text"),
        ('separate = ["one", "two"]', 'separate = "one"', "separate is 'one', expected a list, each text"),
        ('separate = ["one", "two"]', 'separate = ["one", "one"]', "'separate' of the suite .* two data sets 'one'"),
        ('merged = ["two", "one"]', "merged = [1]", r"merged is \[1\], expected a list, each text"),
        ("seed = 0", 'seed = 0\ncache = "c"', "a 'cache', but embeddings are kept in 'work'; remove it"),
        ("seed = 0", "", r"\[pack\] of the suite .* lacks the field 'seed'"),
        (
            'name = "up"',
            'name = "up"\nkind = "tree"',
            r"expert 'up' of \[pack\] of the suite .* kind is 'tree', expected",
        ),
        ('name = "tiny"', "name = ", "the suite .* cannot be read"),
    ],
)
@pytest.mark.usefixtures("file")
def test_what_is_wrong_in_a_suite_is_named_before_anything_is_built(tmp_path, old, new, words):
    assert SUITE.count(old) == 1
    with pytest.raises(InputError, match=words):
        run_suite(written(tmp_path, SUITE.replace(old, new)))
    assert not (tmp_path / "work").exists()


def test_a_split_that_a_set_lacks_is_named_before_anything_is_built(file, tmp_path):
    with pytest.raises(CorpusError, match="has no split 'valid'; it has: dev, test, train"):
        run_suite(file, split="valid")
    assert not (tmp_path / "work").exists()


# --- the report ------------------------------------------------------------------------------------------------------


def golden():
    return json.loads((ROOT / "tests" / "golden" / "report.json").read_text(encoding="utf-8"))


def test_the_json_form_holds_reports_in_their_golden_form(tmp_path):
    report = SuiteReport(suite="tiny", checksum="c" * 64, reports={"merged": Report.from_json(golden())})
    expected = {"suite": "tiny", "checksum": "c" * 64, "reports": {"merged": golden()}}
    assert report.to_json() == expected
    report.save(tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == expected
    assert SuiteReport.load(tmp_path / "report.json") == report


def test_what_is_no_report_is_refused(tmp_path):
    path = tmp_path / "report.json"
    with pytest.raises(ArtifactError, match=r"does not exist; write it with: routeret suite SUITE.toml --output"):
        SuiteReport.load(path)
    for content in ("{", json.dumps(golden()), "[]"):
        path.write_text(content)
        with pytest.raises(ArtifactError, match="is not a suite's report of this version"):
            SuiteReport.load(path)


def test_the_tables_show_systems_and_then_single_experts():
    report = Report.from_json(golden())
    parts = SuiteReport(suite="tiny", checksum="", reports={"separate": report}).tables().split("\n\n")
    assert parts[:2] == ["tiny, separate", report.table()]
    assert parts[2] == report.table(systems=["base", "expert:bio", "expert:law"])
    assert "\n\n".join(parts[3:]) == summary_text(report)


# --- the suites of this project --------------------------------------------------------------------------------------


def test_the_suite_of_routerretriever_is_read():
    found = Suite.read(ROOT / "eval" / "suites" / "routerretriever.toml")
    recipe = found.recipes["pack"]
    domains = [expert for expert in recipe.experts if expert.name != "multitask"]
    assert {expert.kind for expert in recipe.experts} == {"lora"}
    # As in the paper, every domain's expert has one set, and the control has all of them.
    assert {len(expert.sets) for expert in domains} == {1}
    assert {f"expert:{expert.name}" for expert in domains} < set(found.systems)
    measured = {folder.name for folder in found.folders_by_setting["separate"]}
    assert measured == set(recipe.folder_by_set)
    assert {folder.name for folder in found.folders_by_setting["merged"]} == measured - {"acl_cocite"}
    settings = recipe.lora
    assert (settings.rank, settings.alpha, settings.temperature, settings.anchor_weight) == (8, 32.0, 0.05, 0.0)


@pytest.mark.parametrize("name", ["beir", "home", "unseen"])
def test_the_suites_of_the_shipped_pack_are_read(name):
    found = Suite.read(ROOT / "eval" / "suites" / f"{name}.toml")
    assert (found.name, found.pack, found.recipes) == (name, "minilm-domains", {})
    require_systems(found.systems, known_systems(list(read_pack("minilm-domains").expert_folders)))
    if name == "beir":
        assert {folder.name for folder in found.folders} < set(public_sets())
    else:
        assert all((folder / "qrels" / "test.tsv").is_file() for folder in found.folders)
    assert found.leave_out is (name == "unseen")
