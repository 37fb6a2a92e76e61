"""Importing the library loads no heavy library and touches nothing."""

import subprocess
import sys

import pytest

HEAVY = ("bm25s", "faiss", "huggingface_hub", "pytrec_eval", "scipy", "sklearn", "Stemmer", "torch", "transformers")


LIGHT = (
    "routeret",
    "routeret.artifact",
    "routeret.cli.search",
    "routeret.encoders",
    "routeret.retriever",
    "routeret.routing",
)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "routeret" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))
    assert done.stderr == ""


def test_searching_imports_no_code_for_training():
    code = (
        "import sys, routeret.cli.search, routeret.retriever;"
        "print(*(name for name in sys.modules if name.startswith(('routeret.training', 'routeret.routing.classif'))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
