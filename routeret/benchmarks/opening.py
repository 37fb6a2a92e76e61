"""All sides of a benchmark, each opened in a process of its own, or left out with the reason."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from routeret.benchmarks.process import SideProcess
from routeret.benchmarks.sides import Entry
from routeret.encoders.devices import runs_on_processor
from routeret.errors import InputError, MissingExtraError, RouteretError
from routeret.progress import track


@dataclass(frozen=True, slots=True)
class OpenSides:
    """The sides of a run, by name.

    Attributes:
        processes: those that are open, in the order of the names that were asked for.
        told: what each of them tells of itself.
        missing: why others are not.
    """

    processes: dict[str, SideProcess] = field(default_factory=dict)
    told: dict[str, dict[str, Any]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def chosen_sides(names: Sequence[str], entries: Mapping[str, Entry[Any, Any]], *, plain: str) -> list[str]:
    """The names of what is measured in the order of the registry, plain first, which is always measured.

    Args:
        names: what was asked for.
        entries: the registry.
        plain: what all others are compared with.

    Raises:
        InputError: a name is not in the registry.
    """
    unknown = [name for name in names if name not in entries]
    if unknown:
        raise InputError(f"side {unknown[0]!r} is unknown; give some of: {', '.join(entries)}")
    return [plain, *(name for name in entries if name != plain and name in names)]


def require_interpreter(peers: Path | None) -> None:
    """Do nothing if there is an interpreter, or none is named.

    Raises:
        InputError: there is no such file.
    """
    if peers is not None and not peers.is_file():
        raise InputError(f"there is no interpreter {str(peers)!r}; give the path of one, for example peers/bin/python")


def require_modules(entries: Mapping[str, Entry[Any, Any]], names: Sequence[str], *, device: str) -> None:
    """Do nothing if all is installed that some sides need.

    Args:
        entries: the registry.
        names: of sides that nothing can be measured without.
        device: where they run.

    Raises:
        MissingExtraError: something is not.
    """
    extra = "cpu" if runs_on_processor(device) else "gpu"
    for name in names:
        lacking = entries[name].missing(device)
        if lacking is not None:
            raise MissingExtraError(f"module {lacking!r} is not installed; run: pip install 'routeret[{extra}]'")


@contextmanager
def opened_sides(
    entries: Mapping[str, Entry[Any, Any]],
    names: Sequence[str],
    *,
    worker: str,
    folder: Path,
    peers: Path | None,
    device: str,
    show_progress: bool,
) -> Iterator[OpenSides]:
    """Open sides; all end with the block.

    Args:
        entries: the registry.
        names: of those that are opened.
        worker: the module that runs a side.
        folder: the material's.
        peers: an interpreter for those that may be run by another one; None runs all by this one.
        device: where they run; those that cannot are left out.
        show_progress: draw a progress bar on stderr.

    Raises:
        RouteretError: a side that is neither a peer nor optional failed; the message holds the last lines it wrote.
    """
    sides = OpenSides()
    try:
        for name in track(names, description="Opening", unit="side", show=show_progress):
            if not entries[name].runs_on(device):
                sides.missing[name] = "it runs on the processor alone"
                continue
            is_peer = entries[name].is_peer
            process = SideProcess(name, folder, worker=worker, python=peers if is_peer else None)
            try:
                answer = process.opened()
            except RouteretError:
                if not (is_peer or entries[name].is_optional):
                    raise
                sides.missing[name] = f"it could not be opened: {process.last_line()}"
            else:
                if "missing" in answer:
                    sides.missing[name] = _reason(answer["missing"], is_peer=is_peer)
            if name in sides.missing:
                process.close()
            else:
                sides.processes[name], sides.told[name] = process, answer
        yield sides
    finally:
        for process in sides.processes.values():
            process.close()


def _reason(module: str, *, is_peer: bool) -> str:
    advice = (
        "install it in an environment of its own, with faiss-cpu, numkong and sentence-transformers, and give --peers"
        if is_peer
        else "install it"
    )
    return f"module {module!r} is not installed; {advice}"
