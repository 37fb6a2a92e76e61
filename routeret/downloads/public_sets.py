"""The table of public data sets."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path(__file__).with_name("public_sets.toml")


@dataclass(frozen=True, slots=True)
class PublicSet:
    """A data set that can be fetched.

    Attributes:
        name: what it is called; its archive holds one folder of this name.
        url: where its zip archive is.
        md5: 32 hexadecimal digits of the archive, as its publisher gives them.
        n_bytes: how large the archive is.
    """

    name: str
    url: str
    md5: str
    n_bytes: int


def public_sets() -> dict[str, PublicSet]:
    """The data sets that can be fetched, by name."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    return {
        name: PublicSet(name=name, url=values["url"], md5=values["md5"], n_bytes=values["bytes"])
        for name, values in table.items()
    }
