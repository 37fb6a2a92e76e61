"""Pilots in a folder: written whole, and read when they are asked for."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from routeret.artifact import new_folder, read_manifest, safetensors_of, write_file, write_manifest
from routeret.errors import ArtifactError
from routeret.routing.pilots import LEXICAL_WEIGHTS, STRENGTHS, PilotCorpus, PilotLibrary
from routeret.types import FloatArray

KIND = "pilots"
FORMAT = 2
OLDEST_FORMAT = 1

_ARRAYS = "pilots.safetensors"
_STEPS = 127


def save_pilots(library: PilotLibrary, folder: Path | str) -> None:
    """Write a library as a new folder of plain JSON and safetensors.

    Vectors are kept as int8 with a scale a vector, gains as float16.
    """
    arrays: dict[str, Any] = {}
    corpora = []
    for number, corpus in enumerate(library.corpora):
        arrays[f"{number}.vectors"], arrays[f"{number}.scales"] = _quantised(corpus.vectors)
        arrays[f"{number}.texts"], arrays[f"{number}.text_ends"] = _packed(corpus.texts)
        for expert, gains in corpus.gains.items():
            arrays[f"{number}.gains.{expert}"] = gains.astype(np.float16)
        if corpus.lexical_gains is not None:
            arrays[f"{number}.lexical_gains"] = corpus.lexical_gains.astype(np.float16)
        corpora.append(
            {
                "name": corpus.name,
                "source": corpus.source,
                "home_experts": list(corpus.home_experts),
                "is_index": corpus.is_index,
                "n_pilots": len(corpus.texts),
            }
        )
    with new_folder(Path(folder)) as temporary:
        write_file(temporary / _ARRAYS, safetensors_of(arrays))
        write_manifest(
            temporary,
            kind=KIND,
            format_number=FORMAT,
            fields={
                "query_tower": library.query_tower,
                "strengths": list(STRENGTHS),
                "lexical_weights": list(LEXICAL_WEIGHTS),
                "corpora": corpora,
            },
        )


def load_pilots(folder: Path | str) -> PilotLibrary:
    """The library that :func:`save_pilots` wrote.

    Raises:
        ArtifactError: the folder is damaged, of another kind or format, or was made with other strengths.
    """
    return StoredPilots(folder).library


def read(pilots: "PilotLibrary | StoredPilots") -> PilotLibrary:
    """The pilots in memory; those in a folder are read."""
    return pilots if isinstance(pilots, PilotLibrary) else pilots.library


class StoredPilots:
    """The pilots of a folder, which is checked at once and read at the first question.

    The file is kept open, so that it can still be read after the folder has made place for another one.
    """

    def __init__(self, folder: Path | str) -> None:
        """Check a folder.

        Args:
            folder: what :func:`save_pilots` wrote; format 1 is read, too.

        Raises:
            ArtifactError: it is damaged, of another kind or format, or was made with other strengths.
        """
        from safetensors import safe_open

        folder = Path(folder)
        self._manifest = read_manifest(folder, kind=KIND, format_number=FORMAT, oldest=OLDEST_FORMAT)
        grids = (tuple(self._manifest["strengths"]), tuple(self._manifest["lexical_weights"]))
        if grids != (STRENGTHS, LEXICAL_WEIGHTS):
            raise ArtifactError(
                f"{folder} holds pilots for strengths and lexical weights {grids}, this version reads "
                f"{(STRENGTHS, LEXICAL_WEIGHTS)}; train the expert again"
            )
        self._file: Any = safe_open(folder / _ARRAYS, framework="numpy")

    def __reduce__(self) -> tuple[Callable[["PilotLibrary | StoredPilots"], PilotLibrary], tuple[PilotLibrary]]:
        """What is copied, or sent to another process, are the pilots themselves: there may be no folder there."""
        return read, (self.library,)

    @cached_property
    def library(self) -> PilotLibrary:
        """All of it, in memory from now on."""
        corpora = tuple(self._corpus(number, fields) for number, fields in enumerate(self._manifest["corpora"]))
        return PilotLibrary(query_tower=self._manifest["query_tower"], corpora=corpora)

    def _corpus(self, number: int, fields: dict[str, Any]) -> PilotCorpus:
        names = sorted(name for name in self._file.keys() if name.startswith(f"{number}."))  # noqa: SIM118 - not a dict
        arrays = {name.removeprefix(f"{number}."): self._file.get_tensor(name) for name in names}
        vectors = arrays["vectors"].astype(np.float32)
        is_first_format = self._manifest["format"] == OLDEST_FORMAT
        lexical = arrays.get("lexical_gains")
        return PilotCorpus(
            name=fields["name"],
            source=fields["source"],
            home_experts=tuple(fields["home_experts"]),
            is_index=fields.get("is_index", False),
            texts=tuple(fields["texts"] if is_first_format else _unpacked(arrays["texts"], arrays["text_ends"])),
            vectors=vectors if is_first_format else vectors * arrays["scales"][:, None],
            gains={
                name.removeprefix("gains."): array.astype(np.float32)
                for name, array in arrays.items()
                if name.startswith("gains.")
            },
            lexical_gains=None if lexical is None else lexical.astype(np.float32),
        )


def _quantised(vectors: FloatArray) -> tuple[NDArray[np.int8], FloatArray]:
    """The vectors in whole steps of their largest component's 127th, and the length of a step of each."""
    largest = np.abs(vectors).max(axis=1, initial=0.0)
    scales = np.where(largest > 0, largest / _STEPS, 1).astype(np.float32)
    return np.rint(vectors / scales[:, None]).astype(np.int8), scales


def _packed(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Texts as UTF-8 one after the other, and where each ends."""
    encoded = [text.encode() for text in texts]
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), np.cumsum([len(one) for one in encoded], dtype=np.int64)


def _unpacked(content: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[str]:
    whole = content.tobytes()
    starts = [0, *ends[:-1].tolist()]
    return [whole[start:end].decode() for start, end in zip(starts, ends.tolist(), strict=True)]
