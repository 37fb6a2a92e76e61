"""The words that full text leaves out."""

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

from routeret.errors import MissingExtraError


def stop_words() -> tuple[str, ...]:
    """English words that say nothing of a document: bm25s's STOPWORDS_EN_PLUS.

    They are read from their own file: importing all of bm25s, SciPy with it, takes longer than a search.
    """
    package = find_spec("bm25s")
    if package is None or package.origin is None:
        raise MissingExtraError("bm25s is not installed; run: pip install bm25s")
    found = spec_from_file_location("bm25s_stopwords", Path(package.origin).with_name("stopwords.py"))
    if found is None or found.loader is None:
        raise MissingExtraError("bm25s has no file of stop words; run: pip install 'bm25s>=0.3'")
    module = module_from_spec(found)
    found.loader.exec_module(module)
    words: tuple[str, ...] = module.STOPWORDS_EN_PLUS
    return words
