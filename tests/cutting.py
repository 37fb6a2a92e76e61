"""Chunkers of a few characters, whose spans anybody can count."""

from routeret.chunking import CallableChunker


def cut_at(separator, *, name):
    """Spans between the separators of a text."""

    def spans(document):
        start = 0
        for part in document.text.split(separator):
            yield start, start + len(part)
            start += len(part) + len(separator)

    return CallableChunker(spans, name=name, version="1")


BARS = cut_at("|", name="bars")
LINES = cut_at("\n", name="lines")
