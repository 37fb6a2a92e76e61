"""Where the numbers of a report come from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from routeret.chunking import WholeText

_DISTRIBUTIONS = {
    "routeret": ("routeret",),
    "numpy": ("numpy",),
    "torch": ("torch",),
    "transformers": ("transformers",),
    "sentence-transformers": ("sentence-transformers",),
    "faiss": ("faiss-cpu", "faiss-gpu"),
}


def _whole_text() -> dict[str, Any]:
    """What stands for documents in one piece, also in reports that were written before there were others."""
    return WholeText().as_dict()


@dataclass(frozen=True, slots=True)
class Provenance:
    """What must be the same for the same numbers to come out. There is no date, so a rerun gives an equal report.

    Attributes:
        versions: version by library; None where it is not installed.
        split: the split of the queries, for example ``"test"``.
        seed: fixes every draw of the evaluation.
        pack: fingerprint of the pack's manifest; None without a pack.
        indexes: fingerprint of the searched index by dataset.
        chunker: what cut the documents of the searched indexes into spans, as plain JSON values; a document's score
            is the best of its spans.
        left_out: whether every dataset was searched with a pool that has never seen it.
    """

    versions: Mapping[str, str | None]
    split: str
    seed: int
    pack: str | None
    indexes: Mapping[str, str]
    chunker: Mapping[str, Any] = field(default_factory=_whole_text)
    left_out: bool = False

    @classmethod
    def here(
        cls,
        split: str,
        *,
        seed: int = 0,
        pack: str | None = None,
        indexes: Mapping[str, str] | None = None,
        chunker: Mapping[str, Any] | None = None,
        left_out: bool = False,
    ) -> "Provenance":
        """Give the provenance of numbers made in this environment.

        Args:
            split: the split of the queries.
            seed: the seed of the evaluation.
            pack: fingerprint of the pack's manifest.
            indexes: fingerprint of the searched index by dataset.
            chunker: what cut the documents into spans, as plain JSON values; None where they stayed whole.
            left_out: whether every dataset was searched with a pool that has never seen it.
        """
        return cls(
            versions=installed_versions(),
            split=split,
            seed=seed,
            pack=pack,
            indexes=dict(indexes or {}),
            chunker=dict(chunker or _whole_text()),
            left_out=left_out,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, read back by :meth:`from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Provenance":
        """The provenance whose :meth:`to_json` gave these values."""
        return cls(**values)


def installed_versions() -> dict[str, str | None]:
    """Give the versions of this library and of those that can change its numbers, without importing them."""
    return {library: _first_version(names) for library, names in _DISTRIBUTIONS.items()}


def _first_version(distributions: tuple[str, ...]) -> str | None:
    for name in distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None
