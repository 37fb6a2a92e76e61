"""What a change of an index did."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ChangeReport:
    """What one call changed.

    Attributes:
        added: documents that are new in the index.
        changed: documents that came with another title, text or metadata than the index held.
        unchanged: documents that the index held already as they came.
        removed: documents that the call took out and put nothing in place of.
        resumed: how many of the added and changed ones an interrupted call had embedded already.
        truncated: spans whose text was cut at the encoder's token limit, among those embedded by this call.
        spans_embedded: spans that the encoder was asked for.
        spans_reused: spans whose vectors were there already, or were those of another span of the same title and text.
        seconds: how long the call took.
    """

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    removed: int = 0
    resumed: int = 0
    truncated: int = 0
    spans_embedded: int = 0
    spans_reused: int = 0
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)
