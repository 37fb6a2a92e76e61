"""Power that fails at any moment of a change leaves the state before it or behind it, whole."""

import pytest
from crashing_disk import CrashingDisk
from random_kills import ENCODER, after, holds, make, small_blocks

from routeret.index import Index
from routeret.types import Document


def numbered(start, end, text):
    return [Document(id=f"d{number}", text=f"{text} {number}", metadata={"n": number}) for number in range(start, end)]


FIRST = ("add", numbered(0, 20, "red tea"))
CHANGES = {
    "add": ("add", numbered(20, 45, "green cat")),
    "upsert": ("upsert", numbered(10, 25, "blue dog")),
    "sync": ("sync", numbered(15, 30, "sun tax")),
    "delete": ("delete", ["d3", "d19"]),
    "compact": ("compact", None),
}


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    with monkeypatch.context() as patch:
        small_blocks(patch.setattr)
        yield


@pytest.mark.parametrize("name", list(CHANGES))
@pytest.mark.parametrize("zeros", [False, True])
def test_a_change_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch, name, zeros):
    folder = tmp_path / "kb"
    Index.create(folder, ENCODER.space).close()
    make(folder, *FIRST)
    before = after({}, *FIRST)
    if name == "compact":
        make(folder, "delete", ["d0", "d7"])
        before = after(before, "delete", ["d0", "d7"])
    behind = after(before, *CHANGES[name])

    disk = CrashingDisk(folder)
    with disk.watching(monkeypatch):
        make(folder, *CHANGES[name])
    assert len(disk.moments) > 2

    found = []
    for moment in disk.moments:
        crashed = tmp_path / "crashed"
        disk.write(moment, crashed, zeros=zeros)
        with Index.open(crashed, verify=True) as index:
            found.append("behind" if holds(index, behind) else "before" if holds(index, before) else "neither")
            assert index.verify() == []
        if name != "delete" or found[-1] == "before":
            make(crashed, *CHANGES[name])
        with Index.open(crashed, verify=True) as index:
            assert holds(index, behind)
    if name == "compact":
        assert set(found) == {"behind"}
    else:
        n_before = found.count("before")
        assert found == ["before"] * n_before + ["behind"] * (len(found) - n_before)
        assert 0 < n_before < len(found)
