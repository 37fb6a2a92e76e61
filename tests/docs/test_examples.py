"""The Python examples of the documents run, page by page and from top to bottom."""

import json
import re
from pathlib import Path

import pytest

from routeret.packs import DEFAULT_PACK, list_packs

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

needs_pack = [
    pytest.mark.slow,
    pytest.mark.skipif(DEFAULT_PACK not in list_packs(), reason="the shipped pack is not here; build it: make pack"),
]
PAGES = [
    "docs/concepts.md",
    "docs/operations.md",
    "docs/chunking.md",
    "docs/extending.md",
    pytest.param("README.md", marks=needs_pack),
    pytest.param("docs/quickstart.md", marks=needs_pack),
    "docs/evaluation.md",
    pytest.param("docs/training.md", marks=pytest.mark.slow),
]

THINGS = ["card", "order", "refund", "transfer", "account", "password", "invoice", "delivery", "warranty", "voucher"]
ACTIONS = ["cancel", "track", "change", "find"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with what the pages speak of: a corpus, a data set, labelled queries."""
    documents = [
        {"id": f"{action}-{thing}", "title": f"{thing.title()}s", "text": f"How to {action} your {thing} in the app."}
        for action in ACTIONS
        for thing in THINGS
    ]
    queries = [{"query": f"can I {one['id'].replace('-', ' my ')}?", "relevant": [one["id"]]} for one in documents]
    write_lines(tmp_path / "docs.jsonl", documents)
    write_lines(tmp_path / "labelled.jsonl", queries)
    (tmp_path / "my-set" / "qrels").mkdir(parents=True)
    write_lines(tmp_path / "my-set" / "corpus.jsonl", documents)
    texts = [{"_id": f"q{number}", "text": query["query"]} for number, query in enumerate(queries)]
    write_lines(tmp_path / "my-set" / "queries.jsonl", texts)
    judged = [f"q{number}\t{query['relevant'][0]}\t1\n" for number, query in enumerate(queries)]
    (tmp_path / "my-set" / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(judged))
    monkeypatch.chdir(tmp_path)


def write_lines(path, values):
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values), encoding="utf-8")


def index_that_the_page_speaks_of(page):
    """Pages after the first ones speak of an index ``kb`` that is there already."""
    from routeret import Retriever

    if page in ("docs/evaluation.md", "docs/training.md"):
        with Retriever.create("kb", base="hashing-64") as retriever:
            retriever.add("docs.jsonl")
            retriever.add([{"id": "fee-1", "text": "A transfer abroad costs 2 euros."}])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", PAGES)
def test_examples_run(page, capsys):
    index_that_the_page_speaks_of(page)
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    names = {"__name__": "example"}
    for number, block in enumerate(blocks):
        exec(compile(block, f"{page}, example {number + 1}", "exec"), names)  # noqa: S102 - the documents' own examples
    assert capsys.readouterr().out


def test_every_page_with_examples_is_run():
    pages = {"README.md", *(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))}
    listed = {page if isinstance(page, str) else page.values[0] for page in PAGES}
    assert {page for page in pages if BLOCK.search((ROOT / page).read_text(encoding="utf-8"))} == listed


@pytest.mark.parametrize("page", ["README.md", *(str(path) for path in Path(ROOT / "docs").rglob("*.md"))])
def test_links_between_documents_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), f"{page} links to {target}"
