"""Help, usage errors, and what importing the command line costs."""

import os
import subprocess
import sys
import time
from importlib import import_module

import click
import pytest
from click.testing import CliRunner

from routeret import __version__
from routeret.cli import main
from routeret.cli.command import Command

HEAVY = (
    "bm25s", "faiss", "numpy", "scipy", "semantic_text_splitter", "sklearn", "tantivy", "tokenizers", "torch", "tqdm",
    "transformers",
)  # fmt: skip


def all_commands():
    for name in main.list_commands(None):
        command = main.get_command(None, name)
        yield (name,), command
        if isinstance(command, click.Group):
            yield from (((name, below), inner) for below, inner in command.commands.items())


COMMANDS = dict(all_commands())


def run(*arguments):
    return CliRunner().invoke(main, arguments, prog_name="routeret")


def python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_commands():
    assert main.list_commands(None) == [
        "demo", "build", "add", "upsert", "sync", "delete", "search", "route", "warm", "info", "verify", "compact",
        "optimise", "export", "import", "eval", "compare", "suite", "bench", "tune", "router", "doctor", "mine",
        "train", "pack", "experts",
    ]  # fmt: skip
    inner = {path for path in COMMANDS if len(path) == 2}
    assert inner == {
        ("mine", "cocitations"),
        ("router", "report"),
        ("mine", "bipartite"),
        ("train", "expert"),
        ("train", "moe"),
        ("train", "tower"),
        ("bench", "index"),
        ("bench", "query"),
        ("bench", "build"),
        *(("pack", name) for name in ("list", "info", "build")),
        *(("experts", name) for name in ("list", "add", "remove")),
    }


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(path):
    result = run(*path, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: routeret {' '.join(path)}")
    command = COMMANDS[path]
    if isinstance(command, Command):
        assert any(example.startswith(f"routeret {' '.join(path)}") for example in command.examples)
        assert all(f"\n  {example}\n" in result.output for example in command.examples)
        assert "--json" in result.output
    for parameter in command.params:
        assert isinstance(parameter, click.Argument) or parameter.help, parameter.name


@pytest.mark.parametrize("name", main.list_commands(None))
def test_the_list_says_what_the_command_says(name):
    assert main.short_help_by_command[name] == COMMANDS[name,].help.partition("\n")[0]


@pytest.mark.parametrize("name", ["bench", "experts", "mine", "pack", "router", "train"])
def test_a_list_of_commands_cuts_no_sentence(name):
    told = CliRunner().invoke(main, [name, "--help"]).output.split("Commands:")[1]
    assert "..." not in told
    assert told.rstrip().endswith(".")


def test_examples_parse():
    for command in COMMANDS.values():
        for example in getattr(command, "examples", ()):
            parse(example)


def parse(line):
    """Parse a command line without running it."""
    import shlex

    arguments = shlex.split(line)[1:]
    command, context = main, None
    while isinstance(command, click.Group):
        command = command.get_command(context, arguments.pop(0))
    return command.make_context(command.name, arguments).params


def test_repeatable_options_take_several_values_at_once():
    params = parse("routeret train expert law --data a b --out o --anchor c d --anchor e --seed 3")
    assert [str(path) for path in params["data"]] == ["a", "b"]
    assert [str(path) for path in params["anchor"]] == ["c", "d", "e"]
    assert params["name"] == "law"
    assert params["seed"] == 3
    params = parse("routeret eval --data a --data b c --merged --pack p --systems centroid dataset_router")
    assert [str(path) for path in params["data"]] == ["a", "b", "c"]
    assert params["systems"] == ("centroid", "dataset_router")


def test_whatever_runs_a_model_takes_a_device():
    takes = {path for path, command in COMMANDS.items() if "device" in [one.name for one in command.params]}
    assert takes == {
        *((name,) for name in ("demo", "build", "add", "upsert", "sync", "search", "route", "optimise", "import")),
        *((name,) for name in ("eval", "suite", "tune", "doctor")),
        *(("train", kind) for kind in ("expert", "tower", "moe")),
        *(("bench", name) for name in ("index", "query", "build")),
        ("pack", "build"),
        ("experts", "add"),
    }


def test_version():
    assert run("--version").output == f"routeret {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["build", "kb"], "Missing argument 'CORPUS...'"),
        (["serach", "kb"], "No such command 'serach'"),
        (["search", "kb"], "Give either a query or --queries FILE."),
        (["search", "kb", "q", "--queries", "f"], "Give either a query or --queries FILE."),
        (["search", "kb", "q", "--expert", "x", "--base-only"], "Give either --expert or --base-only."),
        (["delete", "kb"], "Give either ids (as arguments or by --ids-from FILE) or --filter JSON."),
        (["delete", "kb", "a", "--filter", "{}"], "Give either ids (as arguments or by --ids-from FILE)"),
        (["build", "kb", "docs", "--storage", "fp8"], "'fp8' is not one of 'fp16', 'fp32', 'int8'"),
        (["upsert", "kb"], "Missing argument 'CORPUS...'"),
        (["export", "kb"], "Missing argument 'FOLDER'"),
        (["search", "kb", "q", "-k", "0"], "0 is not in the range x>=1"),
        (["tune", "kb", "--force"], "Give one of --queries FILE, --clicks FILE and --data FOLDER."),
        (["tune", "kb", "--queries", "f", "--data", "d"], "Give one of --queries FILE"),
        (["eval", "--data", "d"], "Give either --pack NAME or --index FOLDER."),
        (["eval", "--data", "d", "--pack", "p", "--output", "no/such/o.json"], "folder no/such does not exist"),
        (["doctor", "kb"], "Missing option '--queries'"),
        (["suite"], "Missing argument 'FILE'"),
        (["suite", "s.toml", "--output", "no/such/o.json"], "folder no/such does not exist"),
        (["train", "expert", "x", "--data", "d"], "Missing option '--out'"),
    ],
)
def test_wrong_usage_is_code_2(arguments, words):
    result = run(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_help_loads_no_command_and_nothing_heavy():
    code = "import sys; from routeret.cli import main; main(['--help'], standalone_mode=False); print(*sys.modules)"
    loaded = python(code)
    assert "routeret.cli.group" in loaded
    assert not [name for name in loaded if name.startswith("routeret.cli.") and name != "routeret.cli.group"]
    assert not [name for name in loaded if name.partition(".")[0] in HEAVY]


@pytest.mark.parametrize("name", main.list_commands(None))
def test_help_of_a_command_loads_no_model_library(name):
    modules = {"eval": "evaluate", "import": "import_"}
    module = import_module(f"routeret.cli.{modules.get(name, name)}").__name__
    heavy = set(HEAVY) - {"numpy"}
    loaded = python(f"import sys, {module}; print(*sys.modules)")
    assert module in loaded
    assert not [one for one in loaded if one.partition(".")[0] in heavy]


def test_help_takes_hardly_longer_than_importing_click():
    def seconds(*arguments):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], capture_output=True, check=True, env=dict(os.environ))
        return time.perf_counter() - start

    # In turns, since the machine may be busy.
    turns = [(seconds("-m", "routeret", "--help"), seconds("-c", "import click")) for _ in range(8)]
    ours, clicks = (min(side) for side in zip(*turns, strict=True))
    assert ours < 2 * clicks
