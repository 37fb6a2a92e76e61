import inspect
import subprocess
import sys

import pytest

import routeret


def test_every_public_name_is_there():
    assert dir(routeret) == sorted(routeret.__all__)
    for name in routeret.__all__:
        assert getattr(routeret, name) is not None
    assert routeret.Retriever.__module__ == "routeret.retriever.retriever"
    assert inspect.isfunction(routeret.evaluate)
    assert issubclass(routeret.RouteretError, Exception)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'Retreiver'"):
        routeret.Retreiver  # noqa: B018


def test_all_public_names_together_load_nothing_heavy():
    heavy = {"torch", "transformers", "faiss", "sklearn", "scipy", "bm25s", "pytrec_eval", "click"}
    code = f"import sys; from routeret import *; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
