"""A tiny mixture of experts of two domains that differ, which tells the domains of documents by a few words."""

import numpy as np
from safetensors.numpy import load_file, save_file

from routeret.encoders.moe import upcycle
from routeret.encoders.moe.document_domains import DocumentDomains
from routeret.types import Document

DOMAINS = ("law", "river")
TEXTS = {
    "law": ["tax return", "tax card", "bank card tax", "return of tax"],
    "river": ["river water", "river bank", "water of the river", "a wide river"],
}
DOCUMENTS = [
    Document(id=f"{name[0]}{number}", text=text) for name in DOMAINS for number, text in enumerate(TEXTS[name])
]


def write_mixture(base, folder):
    """An upcycled folder whose second domain has its experts' weights turned round; it cannot tell documents yet."""
    upcycle(base, domains=DOMAINS, out=folder)
    file = folder / "model.safetensors"
    weights = load_file(file)
    for name in weights:
        if ".experts.1." in name:
            weights[name] = np.ascontiguousarray(weights[name][::-1])
    save_file(weights, file, metadata={"format": "pt"})
    return folder


def write_telling_mixture(base, folder):
    """The same, which tells documents."""
    write_mixture(base, folder)
    DocumentDomains.fit([TEXTS[name] for name in DOMAINS]).save(folder)
    return folder
