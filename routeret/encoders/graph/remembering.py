"""Content hashes of models, remembered beside the graphs: hashing reads all weights, which takes longer than a query.

A hash counts as long as every file of the model has the size and the times that it had when it was read.
"""

import hashlib
import json
import time
from pathlib import Path
from typing import Any

from routeret.artifact import write_json
from routeret.encoders.content import SCHEME, model_hash
from routeret.encoders.graph.store import graphs_folder
from routeret.encoders.model_folder import ModelFolder
from routeret.encoders.safetensors_file import weight_files

_FOLDER = "hashes"
_SETTLED = 2_000_000_000
"""Nanoseconds; a file that was written later than this before it was hashed could be written again, to the same length,
without another time: some file systems count whole seconds."""


def remembered_hash(model: ModelFolder) -> str | None:
    """The content hash of a model whose files are as they were when it was remembered.

    Returns:
        None where nothing was remembered, what is there is damaged, a file has changed, or ``$ROUTERET_GRAPHS`` is
        ``off``.
    """
    file = _file_of(model)
    if file is None:
        return None
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(found, dict) or found.pop("checksum", None) != _checksum(found):
        return None
    return str(found["hash"]) if found["files"] == _marks(model) and found["scheme"] == SCHEME else None


def remember_hash(model: ModelFolder) -> bool:
    """Hash a model and remember it, unless that is done; several processes may do so at once.

    Returns:
        Whether it is remembered now; not where ``$ROUTERET_GRAPHS`` is ``off``, where the cache cannot be written, or
        where a file has just been written.
    """
    file = _file_of(model)
    if file is None or remembered_hash(model) is not None:
        return file is not None
    start, marks = time.time_ns(), _marks(model)
    content = model_hash(model)
    is_settled = all(changed < start - _SETTLED for _, changed, _ in marks.values())
    if not is_settled or _marks(model) != marks:
        return False
    values = {"folder": str(model.path), "scheme": SCHEME, "files": marks, "hash": content}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {**values, "checksum": _checksum(values)})
    except OSError:
        return False
    return True


def _file_of(model: ModelFolder) -> Path | None:
    folder = graphs_folder()
    name = hashlib.sha256(str(model.path.resolve()).encode()).hexdigest()[:32]
    return None if folder is None else folder / _FOLDER / f"{name}.json"


def _marks(model: ModelFolder) -> dict[str, list[int]]:
    """Size, time of the last change of the content, and of any change, of every file that a hash can depend on."""
    folders = {model.path, *(module.folder for module in model.modules)}
    files = {file for folder in folders if folder.is_dir() for file in folder.iterdir()}
    for module in model.modules:
        files |= {*weight_files(module.folder, suffix="safetensors"), *weight_files(module.folder, suffix="bin")}
    found = {str(file): file.stat() for file in sorted(files) if file.is_file()}
    return {name: [one.st_size, one.st_mtime_ns, one.st_ctime_ns] for name, one in found.items()}


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
