"""Packages whose public names are loaded when they are first used, so that importing one loads no more than is used."""

from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(package: str, module_by_name: Mapping[str, str]) -> Callable[[str], object]:
    """The function ``__getattr__`` of a package (PEP 562).

    Args:
        package: its name.
        module_by_name: where every public name is defined.
    """

    def get(name: str) -> object:
        if name not in module_by_name:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(module_by_name[name]), name)

    return get
