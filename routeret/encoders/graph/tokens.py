"""Texts to token numbers, by the tokenizer of a graph; without transformers or PyTorch."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from routeret.encoders.tokenizing import CHARACTERS_PER_TOKEN, TEXTS_PER_CALL
from routeret.types import BoolArray

if TYPE_CHECKING:
    from tokenizers import Encoding


class Tokens:
    """A tokenizer with a limit; several threads may share one."""

    def __init__(self, tokenizer: str, *, max_tokens: int, prompt: str) -> None:
        """Read the tokenizer.

        Args:
            tokenizer: what stands in ``tokenizer.json``.
            max_tokens: longer texts are cut; special tokens and prompt count.
            prompt: put before every text.
        """
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        self._max_tokens = max_tokens
        self._prompt = prompt

    def read(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers of every text, at most the limit."""
        return [one.ids for one in self._encoded(texts)]

    def read_and_tell_cut(self, texts: Sequence[str]) -> tuple[list[list[int]], BoolArray]:
        """Token numbers of every text, at most the limit, and bool, shape (n_texts,): whether the limit cut it."""
        found = [(one.ids, self._is_cut(one)) for one in self._encoded(texts)]
        return [ids for ids, _ in found], np.array([is_cut for _, is_cut in found], dtype=np.bool_)

    def _encoded(self, texts: Sequence[str]) -> Iterator["Encoding"]:
        for start in range(0, len(texts), TEXTS_PER_CALL):
            yield from self._encoded_at_once(texts[start : start + TEXTS_PER_CALL])

    def _encoded_at_once(self, texts: Sequence[str]) -> list["Encoding"]:
        prompt = self._prompt
        n_characters = self._max_tokens * CHARACTERS_PER_TOKEN
        encoded = self._tokenizer.encode_batch_fast([prompt + text[:n_characters] for text in texts])
        for place, text in enumerate(texts):
            if len(text) > n_characters and not self._is_cut(encoded[place]):
                encoded[place] = self._tokenizer.encode(prompt + text)
        return encoded

    def _is_cut(self, encoding: "Encoding") -> bool:
        # What was cut off is copied when it is asked for.
        return len(encoding) == self._max_tokens and bool(encoding.overflowing)
