"""How a command ends: exit codes, and messages instead of tracebacks."""

import sys
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner

from routeret.cli.group import LazyGroup
from routeret.errors import CorpusError, ModelNotFoundError, UnknownExpertError


@pytest.fixture
def run(monkeypatch):
    """Run a command that does what is given."""

    def run_body(body):
        command = click.Command("go", callback=body)
        monkeypatch.setitem(sys.modules, "routeret.cli.fake", SimpleNamespace(command=command))
        group = LazyGroup("routeret", help="Fake.", commands={"go": ("fake", "Go.")})
        return CliRunner().invoke(group, ["go"])

    return run_body


def raising(error):
    def body():
        raise error

    return body


def test_a_good_end_is_0(run):
    result = run(lambda: click.echo("result"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "result\n", "")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (CorpusError("docs.jsonl:3 is not valid JSON"), "docs.jsonl:3 is not valid JSON"),
        (UnknownExpertError("no expert 'x'; the pool has: a, b"), "no expert 'x'; the pool has: a, b"),
        (ModelNotFoundError("model 'm' is nowhere"), "model 'm' is nowhere"),
        (PermissionError(13, "Permission denied", "/etc/kb"), "/etc/kb: Permission denied"),
    ],
)
def test_wrong_input_is_2_with_its_message(run, error, message):
    result = run(raising(error))
    assert (result.exit_code, result.stdout, result.stderr) == (2, "", f"Error: {message}\n")


def test_an_interruption_is_130(run):
    result = run(raising(KeyboardInterrupt()))
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("a fault of ours"), OSError("without a file")])
def test_a_fault_keeps_its_traceback(run, error):
    assert run(raising(error)).exception is error


def test_a_closed_pipe_is_left_to_click(run):
    result = run(raising(BrokenPipeError(32, "Broken pipe")))
    assert (result.exit_code, result.stderr) == (1, "")
