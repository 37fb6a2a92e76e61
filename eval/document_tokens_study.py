"""Are token vectors of documents worth their room? The base scored by one vector, by query tokens, by tokens of both.

    python eval/document_tokens_study.py --data attack_ttp acl_citances tldr_cli

Nothing is trained: queries and documents are embedded by the base, and only how they are compared differs. Measured are
the dev queries; test queries are not read. The way alone and the best share beside the base's one vector are given, and
the bytes that the vectors take. Results go to eval/results/experts/document_tokens.json, set by set; a set that is run
again replaces its old figures.
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from earlier import earlier_sets, write_sets

from routeret.datasets import load_dataset
from routeret.encoders import DEFAULT_BASE, TorchEncoder
from routeret.errors import InputError
from routeret.experts import TowerExpert
from routeret.index.row_format import RowFormat
from routeret.index.tokens import TokenStorage
from routeret.late_interaction import TokenTargets
from routeret.routing import STRENGTHS
from routeret.significance import paired_test
from routeret.training.document_tokens import DocumentTokens
from routeret.training.embedded import embed_dataset
from routeret.training.scoring import JudgedQueries
from routeret.training.towers import tower_gains
from routeret.types import FloatArray

DATA = Path(__file__).parent / "data"
SETS = ("attack_ttp", "acl_citances", "tldr_cli")
OUT = Path(__file__).parent / "results" / "experts" / "document_tokens.json"
WAYS: dict[str, tuple[float, TokenStorage | None]] = {
    "maxsim, one vector a document": (0.0, None),
    "maxsim, tokens fp16": (0.0, "fp16"),
    "maxsim, tokens int8": (0.0, "int8"),
    "soft 0.1, tokens fp16": (0.1, "fp16"),
}
"""Temperature of the interaction, and the precision of the documents' token vectors; None compares one vector each."""
PRECISIONS: tuple[TokenStorage, ...] = ("fp16", "int8")
AGAINST = {"maxsim, tokens int8": "maxsim, tokens fp16", "soft 0.1, tokens fp16": "maxsim, tokens fp16"}
ONE_VECTOR = "fp16"
"""Precision of the one vector that every document has anyway."""


def main() -> None:
    arguments = parsed_arguments()
    fields = {"split": "dev", "base": str(arguments.base)}
    sets = earlier_sets(arguments.out, fields)
    encoder = TorchEncoder(arguments.base, device=arguments.device)
    for name in arguments.data:
        sets[name] = study(name, encoder)
        write_sets(arguments.out, fields, sets)
        print(f"{name}: {json.dumps(sets[name], indent=1)}", flush=True)


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="What token vectors of documents gain, and the room they take.")
    parser.add_argument("--data", nargs="+", default=list(SETS), help="names of folders in eval/data")
    parser.add_argument("--base", default=DEFAULT_BASE, help="name or folder of a model")
    parser.add_argument("--device", help="where it runs")
    parser.add_argument("--out", type=Path, default=OUT)
    return parser.parse_args()


def study(name: str, encoder: TorchEncoder) -> dict[str, Any]:
    """The figures of one set: of the base, and of every way."""
    documents = {storage: Embedded.of(name, encoder, storage) for storage in PRECISIONS}
    base = documents[PRECISIONS[0]].judged
    n_documents, dim = len(base.documents), encoder.space.dim
    gains: dict[str, FloatArray] = {}
    ways = {}
    for way, (temperature, storage) in WAYS.items():
        embedded = documents[storage or PRECISIONS[0]]
        targets = None if storage is None else embedded.tokens
        asked = expert_of(encoder, temperature, storage).encode_queries(embedded.texts)
        start = time.perf_counter()
        gains[way] = tower_gains(base, embedded.judged, asked=asked, tokens=targets)
        seconds = time.perf_counter() - start
        best = int(np.argmax(np.round(gains[way].mean(axis=0), 9)))
        ways[way] = {
            "alone": paired_test(gains[way][:, -1]).as_dict(),
            "fused": paired_test(gains[way][:, best]).as_dict(),
            "strength": STRENGTHS[best],
            "bytes": bytes_of(n_documents, 0 if targets is None else len(targets.tokens), storage, dim=dim),
            "scoring_seconds": seconds,
        }
    for way, other in AGAINST.items():
        ways[way]["alone_against"] = {other: paired_test(gains[way][:, -1] - gains[other][:, -1]).as_dict()}
    ndcg = base.ndcg_of(base.queries)
    return {
        "n_dev": len(ndcg),
        "n_documents": n_documents,
        "n_tokens": len(documents[PRECISIONS[0]].tokens.tokens),
        "base": {"ndcg": float(ndcg.mean()), "bytes": bytes_of(n_documents, 0, None, dim=dim)},
        "ways": ways,
    }


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """The documents and dev queries of a set, with the documents' tokens in one precision."""

    texts: tuple[str, ...]
    judged: JudgedQueries
    tokens: TokenTargets

    @classmethod
    def of(cls, name: str, encoder: TorchEncoder, storage: TokenStorage) -> "Embedded":
        noting = DocumentTokens(expert_of(encoder, 0.0, storage))
        embedded = embed_dataset(load_dataset(DATA / name), noting, splits=("dev",), show_progress=True)
        tokens = noting.targets()
        if tokens is None or "dev" not in embedded.queries_by_split:
            raise InputError(f"{DATA / name} has no dev queries; choose other --data")
        dev = embedded.queries_by_split["dev"]
        return cls(dev.texts, embedded.judged(dev), tokens)


def expert_of(encoder: TorchEncoder, temperature: float, storage: TokenStorage | None) -> TowerExpert:
    return TowerExpert("by_tokens", encoder, model=str(encoder.folder), interaction=temperature, token_storage=storage)


def bytes_of(n_documents: int, n_tokens: int, storage: TokenStorage | None, *, dim: int) -> int:
    """Bytes of the vectors in a store: one of every document, and one of every token where a precision is given."""
    of_tokens = 0 if storage is None else n_tokens * RowFormat(storage, dim).row_bytes
    return n_documents * RowFormat(ONE_VECTOR, dim).row_bytes + of_tokens


if __name__ == "__main__":
    main()
