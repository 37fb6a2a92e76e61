"""``routeret suite``."""

import json

from command_line import error_of, run, run_json
from letters import write_letters

from routeret.evaluation.suite import SuiteReport

SUITE = """
name = "tiny"
work = "work"
split = "test"
separate = ["one"]
systems = ["expert:up", "centroid"]

[pack]
name = "letters"
base = "hashing-32"
data = "data"
seed = 0

[[pack.experts]]
name = "up"
sets = ["one"]
"""


def test_a_suite_from_the_command_line(tmp_path):
    qrels = write_letters(tmp_path / "data" / "one") / "qrels"
    (qrels / "test.tsv").write_text((qrels / "dev.tsv").read_text())
    file, out = tmp_path / "tiny.toml", tmp_path / "out.json"
    file.write_text(SUITE)
    first = run("suite", file, "--output", out)
    assert f"building the pack 'letters' in {tmp_path / 'work' / 'pack'}" in first.stderr
    assert first.stdout.startswith("tiny, separate\n\n")
    report = SuiteReport.load(out)
    assert first.stdout == f"{report.tables()}\n"
    assert report.reports["separate"].provenance.split == "test"
    # The pack is there now.
    second = run("suite", file, "--split", "dev", "--json")
    assert "taking the pack 'letters'" in second.stderr
    assert json.loads(second.stdout)["reports"]["separate"]["provenance"]["split"] == "dev"
    file.write_text(SUITE.replace("seed = 0", "seed = 1"))
    assert "built from another recipe" in error_of("suite", file)
    assert run_json("suite", file, "--rebuild")["suite"] == "tiny"
