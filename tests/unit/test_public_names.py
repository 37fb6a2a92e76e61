import inspect
import subprocess
import sys

import pytest

import routeret
from routeret import routing


def test_every_public_name_is_there():
    assert dir(routeret) == sorted(routeret.__all__)
    for name in routeret.__all__:
        assert getattr(routeret, name) is not None
    assert routeret.Retriever.__module__ == "routeret.retriever.retriever"
    assert inspect.isfunction(routeret.evaluate)
    assert issubclass(routeret.RouteretError, Exception)


def test_every_name_of_routing_is_there():
    assert dir(routing) == sorted(routing.__all__)
    for name in routing.__all__:
        assert getattr(routing, name) is not None
    assert routing.UtilityRouter.__module__ == "routeret.routing.utility"


@pytest.mark.parametrize("package", [routeret, routing])
def test_an_unknown_name_is_an_attribute_error(package):
    with pytest.raises(AttributeError, match=f"'{package.__name__}' has no attribute 'Retreiver'"):
        package.Retreiver  # noqa: B018


def test_all_public_names_together_load_nothing_heavy():
    heavy = {"torch", "transformers", "faiss", "sklearn", "scipy", "bm25s", "pytrec_eval", "click"}
    code = f"import sys; from routeret import *; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
