"""``routeret train tower`` and ``train moe``: what they refuse."""

import json

import pytest
from click.testing import CliRunner

from routeret.cli import main


def run(line):
    return CliRunner().invoke(main, line)


@pytest.fixture
def words(tmp_path):
    folder = tmp_path / "words"
    (folder / "qrels").mkdir(parents=True)
    texts = ["river bank", "tax return", "water card", "bank card"]
    lines = "".join(json.dumps({"_id": f"d{number}", "text": text}) + "\n" for number, text in enumerate(texts))
    (folder / "corpus.jsonl").write_text(lines)
    (folder / "queries.jsonl").write_text(lines.replace('"d', '"q'))
    for split in ("train", "dev"):
        judged = "".join(f"q{number}\td{number}\t1\n" for number in range(4))
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}")
    return folder


def test_pairs_without_their_corpus_are_refused(words, tmp_path):
    (tmp_path / "pairs.jsonl").write_text('{"a": "d0", "b": "d1", "count": 2}\n')
    result = run(["train", "tower", "x", "--on", str(tmp_path / "pairs.jsonl"), "--data", str(words), "--out", "o"])
    assert result.exit_code == 2
    assert "give the corpus that they name with --corpus" in result.output


def test_a_domain_needs_a_name_and_a_folder(words, tmp_path):
    result = run(["train", "moe", "--domain", str(words), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "give every --domain as NAME=FOLDER" in result.output
    result = run(["train", "moe", "--domain", f"a={words}", "--out", str(tmp_path / "o")])
    assert "found the domains a; expected at least two" in result.output
    assert not (tmp_path / "o").exists()


def test_a_folder_that_is_no_graph_is_refused(words, tmp_path):
    result = run(["train", "tower", "x", "--on", str(words), "--data", str(words), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2
    assert "words has no manifest.json; it is not a routeret bipartite graph" in result.output
