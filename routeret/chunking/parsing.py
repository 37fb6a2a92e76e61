"""Chunkers by name: as the command line writes them, and as an index keeps them."""

from collections.abc import Mapping
from typing import Any

from routeret.chunking.chunker import Chunker
from routeret.chunking.function import CallableChunker
from routeret.chunking.markdown import MarkdownHeadings
from routeret.chunking.sentences import SentenceWindows
from routeret.chunking.whole import WholeText
from routeret.errors import InputError

KNOWN = "none, sentences:size=800,overlap=200 and markdown:size=1000 (sizes in characters; each may be left out)"

_SETTINGS: dict[str, tuple[str, ...]] = {"none": (), "sentences": ("size", "overlap"), "markdown": ("size",)}


def parse_chunker(text: str) -> Chunker:
    """The chunker that a text names, for example ``"sentences:size=800,overlap=200"``.

    Args:
        text: a kind, and behind a colon its settings, separated by commas; what is left out has its default.

    Raises:
        InputError: the kind or a setting is unknown, or a value is out of its range; the message lists what is known.
    """
    kind, colon, rest = text.strip().partition(":")
    if kind not in _SETTINGS:
        raise InputError(f"chunker {text!r} has the unknown kind {kind!r}; known are {KNOWN}")
    settings: dict[str, int] = {}
    for part in rest.split(",") if colon else []:
        name, _, value = (piece.strip() for piece in part.partition("="))
        if name not in _SETTINGS[kind] or name in settings:
            raise InputError(
                f"chunker {text!r}: {part!r} is not a setting of {kind!r}, or comes twice; known are {KNOWN}"
            )
        if not (value.isascii() and value.isdigit()):
            raise InputError(f"chunker {text!r}: {name} is {value!r}, not a whole number; known are {KNOWN}")
        settings[name] = int(value)
    return _built(kind, settings)


def chunker_from_dict(values: Mapping[str, Any]) -> Chunker:
    """The chunker whose ``as_dict`` gave these values.

    What a library decides is decided by the version that is installed here: compare fingerprints before cutting
    further documents, as :func:`routeret.chunking.require_same_chunker` does. A callable comes back without its
    function.

    Raises:
        InputError: the values are of no known chunker.
    """
    kind = values.get("kind")
    if kind == "callable" and {"name", "version"} <= values.keys():
        return CallableChunker(None, name=values["name"], version=values["version"])
    if kind not in _SETTINGS or not set(_SETTINGS[kind]) <= values.keys():
        raise InputError(f"{dict(values)!r} are not the values of a chunker; known are {KNOWN}, and callables")
    return _built(kind, {name: values[name] for name in _SETTINGS[kind]})


def _built(kind: str, settings: dict[str, int]) -> Chunker:
    if kind == "sentences":
        return SentenceWindows(**settings)
    if kind == "markdown":
        return MarkdownHeadings(**settings)
    return WholeText()
