"""docs/cli.md says what the commands' help says."""

from pathlib import Path

from scripts import loaded

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_help_says():
    make_cli_page = loaded(DOCS / "make_cli_page.py")
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == make_cli_page.page(), "docs/cli.md is stale; run: make docs"
