"""docs/cli.md says what the commands' help says."""

import importlib.util
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_what_the_help_says():
    spec = importlib.util.spec_from_file_location("make_cli_page", DOCS / "make_cli_page.py")
    make_cli_page = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_cli_page)
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    assert written == make_cli_page.page(), "docs/cli.md is stale; run: make docs"
