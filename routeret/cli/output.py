"""What commands print: JSON for programs, text for people."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from routeret.types import LEXICAL, Hit, Hits, Routing

_SNIPPET = 160
_SHOWN = 3
_SHARE_SHOWN = 0.01


def print_json(value: Any) -> None:  # noqa: ANN401 - any JSON value
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def hits_text(hits: Hits) -> str:
    """Ranked hits with score, id, title and snippet, and then why they were found."""
    lines = [_hit_text(rank, hit) for rank, hit in enumerate(hits, start=1)] or ["No document was found."]
    return "\n".join([*lines, "", routing_text(hits.routing)])


def routing_text(routing: Routing) -> str:
    """A routing in a few lines: weights, strengths, margin, corpora, known documents, nearest pilots."""
    lexical = routing.weights.get(LEXICAL, 0.0)
    shares = {name: share for name, share in routing.weights.items() if name != LEXICAL}
    held = (
        "held back: the query or the documents are unlike what the experts know"
        if routing.held_back
        else "not held back"
    )
    lines = [
        f"Routing: {_largest(shares)}" + (f"; plus {LEXICAL} {lexical:.2f}" if lexical else ""),
        f"  margin {routing.margin:.3f}, {held}",
    ]
    acting = {name: routing.strengths[name] for name in shares if routing.strengths.get(name)}
    if acting:
        lines.append(f"  at strength: {_largest(acting)}")
    if routing.predicted_gains:
        lines.append(f"  predicted gain in nDCG@10: {_largest(routing.predicted_gains, form='+.3f')}")
    if routing.corpora:
        lines.append(f"  like queries of: {_largest(routing.corpora)}")
    if any(routing.known_documents.values()):
        lines.append(f"  first documents known to: {_largest(routing.known_documents)}")
    for pilot in routing.pilots[:_SHOWN]:
        lines.append(f"  near pilot {pilot.similarity:.2f} ({pilot.corpus}): {shortened(pilot.text, 80)}")
    return "\n".join(lines)


def fields_text(values: Mapping[str, Any], *, indent: str = "") -> str:
    """Named values, one a line; values inside values are set in."""
    lines = []
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{indent}{name}:", fields_text(value, indent=f"{indent}  ")]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            lines.append(f"{indent}{name}: {', '.join(map(str, value)) or 'none'}")
        else:
            lines.append(f"{indent}{name}: {_value_text(value)}")
    return "\n".join(lines)


def shortened(text: str, width: int) -> str:
    """The text on one line, cut after ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _hit_text(rank: int, hit: Hit) -> str:
    start, end = hit.span
    head = f"{rank:>3}  {hit.score:.4f}  {hit.id}"
    title = f"  {shortened(hit.title, 80)}" if hit.title.strip() else ""
    snippet = shortened(hit.text[start:end], _SNIPPET)
    return f"{head}{title}" + (f"\n     {snippet}" if snippet else "")


def _largest(values: Mapping[str, float], *, form: str = ".2f") -> str:
    ranked = sorted(values.items(), key=lambda item: -item[1])
    shown = [item for item in ranked if abs(item[1]) >= _SHARE_SHOWN] or ranked[:1]
    return ", ".join(f"{name} {value:{form}}" for name, value in shown[: _SHOWN + 1])


def _value_text(value: Any) -> str:  # noqa: ANN401 - any JSON value
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
