"""Run commands as a user does, and look at what they print."""

import json

from click.testing import CliRunner

from routeret.cli import main

# The encoder that needs no model.
BASE = ("--base", "hashing-64")


def run(*arguments, code=0, answer=None):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=answer)
    assert result.exit_code == code, result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def run_json(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


def error_of(*arguments, answer=None):
    """The message of a command that refuses its input."""
    result = run(*arguments, code=2, answer=answer)
    assert result.stdout == ""
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    return last


def write_lines(path, values):
    path.write_text("".join(f"{json.dumps(value, ensure_ascii=False)}\n" for value in values), encoding="utf-8")
    return path
