"""Scripts of the project, which no package holds, as modules."""

import importlib.util


def loaded(path):
    """The module of a script, without what it does as a program."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
