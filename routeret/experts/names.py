"""Names of experts."""

import re

from routeret.errors import InputError
from routeret.types import BASE, LEXICAL

_NAME = re.compile(r"[a-z0-9_-]+")


def require_expert_name(name: str) -> None:
    """Do nothing if an expert may be called so.

    Raises:
        InputError: the name holds other characters than a-z, 0-9, ``_`` and ``-``, or stands for the base or BM25.
    """
    if name in (BASE, LEXICAL):
        raise InputError(f"{name!r} names what every pool holds already; choose another name for the expert")
    if not _NAME.fullmatch(name):
        raise InputError(f"found the expert name {name!r}, expected one or more of a-z, 0-9, '_' and '-'")
