"""The vectors of the latest texts, so that asking again costs no pass."""

import threading
from collections.abc import Callable, Sequence

import numpy as np

from routeret.types import FloatArray

_LONGEST_KEPT = 4096
"""Characters; longer texts would take more memory than their vectors, and hardly come again."""


class KeptVectors:
    """Vectors by text, of the texts that were asked for last; several threads may share it.

    Texts of more than 4,096 characters are not kept, so that what is kept is bounded in bytes, too.
    """

    def __init__(self, most_kept: int) -> None:
        """Keep nothing yet.

        Args:
            most_kept: how many vectors; 0 keeps none.
        """
        self._most_kept = most_kept
        self._kept: dict[str, FloatArray] = {}
        self._keeping = threading.Lock()

    def vectors(self, texts: Sequence[str], compute: Callable[[list[str]], FloatArray]) -> FloatArray:
        """Vectors of some texts, float32, shape (n_texts, dim), in their order.

        Args:
            texts: any.
            compute: gives the vectors of texts that are not kept, each once; no lock is held meanwhile.
        """
        with self._keeping:
            found = {text: self._kept[text] for text in texts if text in self._kept}
        new = [text for text in dict.fromkeys(texts) if text not in found]
        if len(new) == len(texts):
            vectors = compute(new)
            found = dict(zip(new, vectors, strict=True))
        else:
            found |= zip(new, compute(new), strict=True) if new else ()
            vectors = np.stack([found[text] for text in texts])
        self._keep(found)
        return vectors

    def _keep(self, found: dict[str, FloatArray]) -> None:
        """Keep what was just asked for, in place of what was not for the longest time."""
        if self._most_kept == 0:
            return
        with self._keeping:
            for text, vector in list(found.items())[-self._most_kept :]:
                self._kept.pop(text, None)
                if len(text) <= _LONGEST_KEPT:
                    self._kept[text] = vector.copy()
            while len(self._kept) > self._most_kept:
                del self._kept[next(iter(self._kept))]
