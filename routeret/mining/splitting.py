"""Documents shared out among splits by a hash of their ids, so that a document is in the same split for good."""

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate

from routeret.errors import InputError

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_FORM = "train=0.8,dev=0.1,test=0.1"
_MOST = 100
_ROUNDING = 1e-6


class DocumentSplit:
    """Gives every id one split; what other documents there are does not change it."""

    def __init__(self, shares: Mapping[str, float], *, seed: int = 0) -> None:
        """Keep the shares.

        Args:
            shares: the share of the documents by the split's name (letters, digits, ``_`` and ``-``); each above 0,
                together 1. Their order counts.
            seed: another seed shares the documents out anew.

        Raises:
            InputError: there is no share or a bad name, or they do not sum to 1.
        """
        if not 1 <= len(shares) <= _MOST:
            raise InputError(f"found {len(shares)} splits, expected 1 to {_MOST}, for example {_FORM}")
        for name, share in shares.items():
            if not _NAME.fullmatch(name):
                raise InputError(f"a split is called {name!r}; use letters, digits, '_' and '-': it names a file")
            if not 0 < share <= 1:
                raise InputError(f"the share of split {name!r} is {share}; expected a number above 0 and at most 1")
        total = math.fsum(shares.values())
        if abs(total - 1) > _ROUNDING:
            raise InputError(f"the shares {dict(shares)} sum to {total:.6g}, expected 1, for example {_FORM}")
        self.names = tuple(shares)
        self._seed = seed
        self._ends = list(accumulate(shares.values()))[:-1]

    def number_of(self, document_id: str) -> int:
        """The place in ``names`` of a document's split."""
        digest = hashlib.blake2b(f"{self._seed}\n{document_id}".encode(), digest_size=8).digest()
        return bisect_right(self._ends, int.from_bytes(digest, "big") / 2**64)

    def name_of(self, document_id: str) -> str:
        """The name of a document's split."""
        return self.names[self.number_of(document_id)]


def parse_split(text: str) -> dict[str, float]:
    """The shares that a text like ``train=0.8,dev=0.1,test=0.1`` names, in its order.

    Raises:
        InputError: the text has another form, or names a split twice. What the shares must be is
            :class:`DocumentSplit`'s to check.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, _, share = (piece.strip() for piece in part.partition("="))
        if name in shares:
            raise InputError(f"{text!r} names split {name!r} twice; every name must come once")
        try:
            shares[name] = float(share)
        except ValueError as error:
            raise InputError(f"{text!r} has {part.strip()!r}, expected NAME=SHARE, for example {_FORM}") from error
    return shares
