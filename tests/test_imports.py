"""The layers import one way; pyproject.toml names them."""

import logging
from pathlib import Path

from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

ROOT = Path(__file__).parents[1]


def test_imports_go_one_way(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    level = logging.getLogger().level
    status = lint_imports(config_filename="pyproject.toml", no_cache=True)
    logging.getLogger().setLevel(level)
    assert status == EXIT_STATUS_SUCCESS, capsys.readouterr().out
