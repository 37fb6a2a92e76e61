"""Folders of experts as the first format had them."""

import json

import numpy as np
from safetensors.numpy import save_file

from routeret.artifact import MANIFEST, write_manifest


def in_first_format(folder, known_documents):
    """Turn the folder of a LoRA expert or a tower into one of the first format: whole keys, no sketch."""
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    names = ("kind", "format", "files", "checksum", "sketch")
    fields = {name: value for name, value in manifest.items() if name not in names}
    (folder / "sketch.safetensors").unlink()
    save_file({"known_documents": np.array(known_documents, dtype=np.uint64)}, folder / "documents.safetensors")
    write_manifest(folder, kind="expert", format_number=1, fields=fields)
