"""Fits what tells the domains of a mixture's documents, and says how often it is right on documents it never saw."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from routeret.errors import InputError

if TYPE_CHECKING:
    from routeret.encoders.moe.document_domains import DocumentDomains

_MOST_DOCUMENTS = 5000
"""Of a domain; what more would add is not worth the memory."""
_HELD_OUT = 0.2


@dataclass(frozen=True, slots=True)
class DocumentDomainsReport:
    """How well the domains of documents are told apart.

    Attributes:
        n_fitted: documents that it was fitted to, by domain.
        n_held_out: documents that it was judged on, by domain.
        accuracy: the share of these that it told right, by domain.
    """

    n_fitted: dict[str, int]
    n_held_out: dict[str, int]
    accuracy: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def fit_document_domains(
    texts_by_domain: Mapping[str, Sequence[str]], *, seed: int
) -> tuple["DocumentDomains", DocumentDomainsReport]:
    """Fit to four fifths of the different documents of every domain, 5,000 at most, and judge on the others.

    A document that belongs to several domains counts in each; in at most one of them it can be told right.

    Args:
        texts_by_domain: title and text of every document, by domain; the order of the domains gives their numbers.
        seed: of the draws.

    Raises:
        InputError: there are fewer than two domains, or one has fewer than two different documents.
    """
    # Importing it loads PyTorch.
    from routeret.encoders.moe.document_domains import DocumentDomains

    rng = np.random.default_rng(seed)
    fitted, held_out = {}, {}
    for name, texts in texts_by_domain.items():
        different = list(dict.fromkeys(texts))
        if len(different) < 2:
            raise InputError(
                f"domain {name!r} has {len(different)} different documents in its pairs, expected at least two: from "
                f"its documents the domain of others is learned; give it more pairs"
            )
        drawn = rng.permutation(len(different))[:_MOST_DOCUMENTS]
        n_held_out = max(1, int(len(drawn) * _HELD_OUT))
        held_out[name] = [different[row] for row in drawn[:n_held_out]]
        fitted[name] = [different[row] for row in drawn[n_held_out:]]
    domains = DocumentDomains.fit(list(fitted.values()))
    accuracy = {
        name: float(np.mean(domains.numbers(texts) == number)) for number, (name, texts) in enumerate(held_out.items())
    }
    report = DocumentDomainsReport(
        n_fitted={name: len(texts) for name, texts in fitted.items()},
        n_held_out={name: len(texts) for name, texts in held_out.items()},
        accuracy=accuracy,
    )
    return domains, report
