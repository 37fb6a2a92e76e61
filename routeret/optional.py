"""The one door through which optional libraries come."""

from importlib import import_module
from types import ModuleType

from routeret.errors import MissingExtraError


def require(module: str, *, extra: str) -> ModuleType:
    """Give the imported optional module.

    Args:
        module: the name to import, for example ``"faiss"``.
        extra: the extra of this package that installs it, for example ``"cpu"``.

    Raises:
        MissingExtraError: it is not installed; the message names the command that installs it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        message = f"module {module!r} is not installed; run: pip install 'routeret[{extra}]'"
        raise MissingExtraError(message) from error


def is_installed(module: str) -> bool:
    """Whether the optional module can be imported; imports it."""
    try:
        import_module(module)
    except ImportError:
        return False
    return True
