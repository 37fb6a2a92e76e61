"""Importing the library loads no heavy library and touches nothing."""

import subprocess
import sys

import pytest

HEAVY = ("bm25s", "faiss", "huggingface_hub", "pytrec_eval", "scipy", "sklearn", "Stemmer", "torch", "transformers")


@pytest.mark.parametrize("module", ["routeret", "routeret.encoders", "routeret.artifact", "routeret.space"])
def test_importing_is_light(module):
    code = f"import sys, {module}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "routeret" in loaded
    assert loaded.isdisjoint(HEAVY), sorted(loaded.intersection(HEAVY))
    assert done.stderr == ""
