"""What commands print: JSON for programs, text for people."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from routeret.types import LEXICAL, Hit, Hits, Routing

if TYPE_CHECKING:
    from routeret.index import Damage
    from routeret.retriever.checking import CheckReport

_SNIPPET = 160
_SHOWN = 3
_SHARE_SHOWN = 0.01
_THOUSAND = 1000


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
    held = f"held back: {routing.reason}" if routing.held_back else routing.reason or "not held back"
    lines = [
        f"Routing: {_largest(shares)}" + (f"; plus {LEXICAL} {lexical:.2f}" if lexical else ""),
        f"  margin {routing.margin:.3f}, {held}",
    ]
    acting = {name: routing.strengths[name] for name in shares if routing.strengths.get(name)}
    if acting:
        lines.append(f"  at strength: {_largest(acting)}")
    if routing.predicted_gains:
        lines.append(f"  predicted gain in nDCG@10: {_gains_text(routing)}")
    if routing.corpora:
        lines.append(f"  like queries of: {_largest(routing.corpora)}")
    if any(routing.known_documents.values()):
        lines.append(f"  first documents known to: {_largest(routing.known_documents)}")
    if routing.adaptation >= _SHARE_SHOWN:
        lines.append(f"  turned by the index's own map at strength {routing.adaptation:.2f}")
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


def info_text(info: Mapping[str, Any]) -> str:
    """What an index holds, one value a line, and then what can be done about it."""
    lines = [fields_text(_readable(info))]
    if info["staged_documents"]:
        lines.append(
            f"\n{documents_text(info['staged_documents'])} embedded and not shown, since the call that brought them "
            f"did not end; run it again to go on from there."
        )
    if info["removed_rows"]:
        lines.append(f"\nGive the room of removed documents back: routeret compact {info['folder']}")
    return "\n".join(lines)


def check_text(report: "CheckReport") -> str:
    """A line for everything that was repaired or is damaged, or a sentence if an index is whole."""
    lines = [f"Repaired: {_damage_text(one)}" for one in report.repaired]
    lines += [f"Damaged: {_damage_text(one)}" for one in report.damage]
    if report.is_whole:
        lines.append(f"{report.index} is whole: every file is as it was written.")
    return "\n".join(lines)


def structures_text(found: Mapping[str, Any]) -> str:
    """What searches every space of an index, each with its recall for all who write queries into it, worst first."""
    structures = {"Search structure": found, **{f"Space {name}": one for name, one in found.get("spaces", {}).items()}}
    lines = []
    for title, one in structures.items():
        lines.append(f"{title}: {one['factory']}, over {one.get('rows', one['rows_exact']):,} rows.")
        ranked = sorted(one.get("recall", {}).items(), key=lambda item: item[1])
        lines += [f"  recall {value:.4f} for queries of {name}" for name, value in ranked]
        if one.get("reason"):
            lines.append(f"  {one['reason']}")
    return "\n".join(lines)


def documents_text(n: int) -> str:
    """A number of documents in words."""
    return f"{n:,} document{'' if n == 1 else 's'}"


def shortened(text: str, width: int) -> str:
    """The text on one line, cut after ``width`` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def table_lines(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rows of a table, at least one: the first column to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for name, *cells in rows:
        right = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append(f"{name:<{widths[0]}}  {right}")
    return lines


def _readable(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with sizes in units, large numbers in groups and chunkers in words."""
    readable: dict[str, Any] = {}
    for name, value in values.items():
        if name == "chunker":
            settings = ", ".join(f"{setting} {value[setting]}" for setting in value if setting != "kind")
            readable[name] = f"{value['kind']}: {settings}" if settings else value["kind"]
        elif isinstance(value, Mapping):
            readable[name] = _readable(value)
        elif name.endswith("bytes") and isinstance(value, int):
            readable[name] = _size_text(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            readable[name] = f"{value:,}"
        else:
            readable[name] = value
    return readable


def _size_text(n_bytes: int) -> str:
    size, unit = float(n_bytes), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < _THOUSAND:
            break
        size, unit = size / _THOUSAND, larger
    return f"{size:.3g} {unit}" if unit != "bytes" else f"{n_bytes} bytes"


def _damage_text(damage: "Damage") -> str:
    reason = " ".join(damage.reason.split())
    return reason if damage.path in reason else f"{damage.path}: {reason}"


def _hit_text(rank: int, hit: Hit) -> str:
    start, end = hit.span
    head = f"{rank:>3}  {hit.score:.4f}  {hit.id}"
    title = f"  {shortened(hit.title, 80)}" if hit.title.strip() else ""
    snippet = shortened(hit.text[start:end], _SNIPPET)
    return f"{head}{title}" + (f"\n     {snippet}" if snippet else "")


def _gains_text(routing: Routing) -> str:
    """The largest predicted gains, each with its interval and the chance that the expert helps."""
    found = []
    for name, gain in list(routing.predicted_gains.items())[:_SHOWN]:
        text = f"{name} {gain:+.3f}"
        if name in routing.gain_intervals:
            low, high = routing.gain_intervals[name]
            text += f" ({low:+.3f} to {high:+.3f}, helps {routing.helps[name]:.0%})"
        found.append(text)
    return ", ".join(found)


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
