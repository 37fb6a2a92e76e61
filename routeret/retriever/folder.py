"""What a retriever keeps on disk beside its index: a manifest, copies of its experts and of its router."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from routeret import __version__
from routeret.artifact import MANIFEST, new_folder, read_manifest, write_manifest
from routeret.errors import ArtifactError
from routeret.fusion import SpaceFusion
from routeret.index.tokens import TokenStorage
from routeret.space import Space

KIND = "retriever"
FORMAT = 1

_EXPERTS = "experts"
_ROUTER = "router-"
_MAP = "map-"


@dataclass(frozen=True, slots=True)
class ExpertEntry:
    """One expert of a pool.

    Attributes:
        name: unique in the pool.
        folder: where it stands, relative to the retriever's folder.
        pilots: names of the pilot corpora that came with it and leave with it.
        space: fingerprint of its own document space; None where it shares the base's.
        tokens: precision of the documents' token vectors that it compares; None where it compares none.
    """

    name: str
    folder: str
    pilots: tuple[str, ...] = ()
    space: str | None = None
    tokens: TokenStorage | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """What the manifest of a retriever says.

    Attributes:
        model: name or path of the base model; None where it was given as an encoder, which cannot be written down.
        space: of the index.
        query_tower: of the base that experts and router were made for.
        pack: name of the pack it was made with; None without one.
        experts: the pool, in the order in which they were added.
        router: the router's folder, relative; None without experts.
        lexical_weight: weight of the lexical score where no router decides it.
        space_fusion: how the scores of several spaces become one.
        index_map: the folder of the map that tuning without labels has learned, relative; None without one.
    """

    model: str | None
    space: Space
    query_tower: str
    pack: str | None
    experts: tuple[ExpertEntry, ...]
    router: str | None
    lexical_weight: float
    space_fusion: SpaceFusion = "scores"
    index_map: str | None = None

    @property
    def own_spaces(self) -> frozenset[str]:
        """Fingerprints of the spaces that experts brought."""
        return frozenset(entry.space for entry in self.experts if entry.space is not None)

    def compares_tokens(self, space: str, storage: str) -> bool:
        """Whether an expert compares tokens of a space (its fingerprint) that are kept in a precision."""
        return any(entry.space == space and entry.tokens == storage for entry in self.experts)

    @property
    def expert_names(self) -> tuple[str, ...]:
        """The experts' names, in the order in which they were added."""
        return tuple(entry.name for entry in self.experts)

    def with_expert(self, entry: ExpertEntry, *, router: str) -> "Contents":
        """The same with one more expert and a new router."""
        return replace(self, experts=(*self.experts, entry), router=router)

    def without_expert(self, name: str, *, router: str | None) -> "Contents":
        """The same without an expert, and with a new router."""
        return replace(self, experts=tuple(entry for entry in self.experts if entry.name != name), router=router)

    def write(self, folder: Path) -> None:
        """Write the manifest whole or not at all; from then on the folder holds what it says.

        It covers the manifests of experts and router by their checksums, and these cover their own files. The index
        changes on its own and keeps its own checksums.
        """
        single = [part for part in (self.router, self.index_map) if part is not None]
        parts = [*(entry.folder for entry in self.experts), *single]
        fields = {
            "routeret": __version__,
            "base": {"model": self.model, "space": self.space.as_dict(), "query_tower": self.query_tower},
            "pack": self.pack,
            "experts": [{**asdict(entry), "pilots": list(entry.pilots)} for entry in self.experts],
            "router": self.router,
            "lexical_weight": self.lexical_weight,
            "space_fusion": self.space_fusion,
            "index_map": self.index_map,
        }
        covered = [folder / part / MANIFEST for part in parts]
        write_manifest(folder, kind=KIND, format_number=FORMAT, fields=fields, covered=covered)

    @classmethod
    def read(cls, folder: Path) -> "Contents":
        """What :meth:`write` wrote.

        Raises:
            ArtifactError: there is no retriever, or it is damaged or of another format.
        """
        manifest = read_manifest(folder, kind=KIND, format_number=FORMAT)
        try:
            return cls._of(manifest)
        except (KeyError, TypeError, AttributeError) as error:
            raise ArtifactError(
                f"{folder / MANIFEST} is damaged ({type(error).__name__}: {error}); restore it from its source"
            ) from error

    @classmethod
    def _of(cls, manifest: dict[str, Any]) -> "Contents":
        base = manifest["base"]
        return cls(
            model=base["model"],
            space=Space.from_dict(base["space"]),
            query_tower=base["query_tower"],
            pack=manifest["pack"],
            experts=tuple(
                # Retrievers of the first versions held no expert with a space of its own.
                ExpertEntry(
                    entry["name"], entry["folder"], tuple(entry["pilots"]), entry.get("space"), entry.get("tokens")
                )
                for entry in manifest["experts"]
            ),
            router=manifest["router"],
            lexical_weight=float(manifest["lexical_weight"]),
            # Retrievers of the first versions had one space.
            space_fusion=manifest.get("space_fusion", "scores"),
            # Retrievers of the first versions could not be tuned without labels.
            index_map=manifest.get("index_map"),
        )


def free_expert_folder(folder: Path, name: str) -> str:
    """A folder for an expert, relative to the retriever's, that nothing stands at."""
    candidates = (f"{_EXPERTS}/{name}" + (f"-{number}" if number > 1 else "") for number in range(1, 1 << 30))
    return next(candidate for candidate in candidates if not (folder / candidate).exists())


def free_router_folder(folder: Path) -> str:
    """A folder for a router, relative to the retriever's, that nothing stands at."""
    return _free_numbered(folder, _ROUTER)


def free_map_folder(folder: Path) -> str:
    """A folder for a map of the index, relative to the retriever's, that nothing stands at."""
    return _free_numbered(folder, _MAP)


def remove_leftovers(folder: Path, contents: Contents) -> None:
    """Remove the experts, routers and maps that the manifest does not name.

    An earlier change replaced them, or was interrupted. Called before a change, so that a reader that opened the
    folder before the last change still finds what it read about.
    """
    named = {folder / entry.folder for entry in contents.experts}
    named |= {folder / part for part in (contents.router, contents.index_map) if part is not None}
    experts = folder / _EXPERTS
    found = list(experts.iterdir()) if experts.is_dir() else []
    for prefix in (_ROUTER, _MAP):
        found += [*_numbered(folder, prefix), *folder.glob(f".{prefix}*.tmp-*")]
    for path in found:
        if path.is_dir() and path not in named:
            shutil.rmtree(path)


def copy_folder(source: Path, target: Path) -> None:
    """Copy a folder whole or not at all; the copy can be written and removed whatever the source's permissions."""
    with new_folder(target) as temporary:
        for path in sorted(source.rglob("*")):
            copied = temporary / path.relative_to(source)
            if path.is_dir():
                copied.mkdir()
            else:
                shutil.copyfile(path, copied)


@contextmanager
def new_or_empty(path: Path) -> Iterator[Path]:
    """Give a folder to fill, which becomes ``path`` if the block ends well and leaves nothing behind if it does not.

    Args:
        path: must not exist, or be an empty folder.

    Raises:
        ArtifactError: something is at ``path`` already, perhaps since another process has just written it.
    """
    with new_folder(path, into_empty=True) as temporary:
        yield temporary


def _numbered(folder: Path, prefix: str) -> Sequence[Path]:
    return [path for path in folder.glob(f"{prefix}*") if path.name.removeprefix(prefix).isdecimal()]


def _free_numbered(folder: Path, prefix: str) -> str:
    taken = [int(path.name.removeprefix(prefix)) for path in _numbered(folder, prefix)]
    return f"{prefix}{max(taken, default=0) + 1}"
