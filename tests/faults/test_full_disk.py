"""A disk that fills up gives a clear error, and the last state stands."""

import os
import subprocess

import pytest
from random_kills import ENCODER, small_blocks

from routeret.corpus import Corpus
from routeret.errors import ArtifactError
from routeret.index import Index
from routeret.types import Document


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)


def documents(start, end):
    return Corpus.of([Document(id=f"d{n}", text=f"text {n} " * 20) for n in range(start, end)])


def test_a_full_disk_loses_nothing(small_disk, monkeypatch):
    small_blocks(monkeypatch.setattr)
    folder = small_disk / "kb"
    with Index.create(folder, ENCODER.space) as index:
        index.add(documents(0, 20), ENCODER)
        ids = index.ids()
        with pytest.raises(ArtifactError, match=r"disk of index .* is full \([\d,]+ bytes are free\)"):
            index.add(documents(20, 4000), ENCODER)
        index.refresh()
        assert index.ids() == ids
    with Index.open(folder, verify=True) as index:
        assert index.ids() == ids
        assert index.search(ENCODER.encode_queries(["text 7"]), 1, space=ENCODER.space).rows.shape == (1, 1)
        (small_disk / "filler").write_bytes(bytes(max(0, free(small_disk) - 4096)))
        with pytest.raises(ArtifactError, match="is full"):
            index.upsert(Corpus.of([Document(id=ids[0], text="large " * 100_000)]), ENCODER)
        index.refresh()
        assert index.ids() == ids
        (small_disk / "filler").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small_disk], check=True)
    with Index.open(folder) as index:
        report = index.add(documents(20, 200), ENCODER)
        assert report.added == 180
        assert report.resumed > 0, "what was embedded before the disk was full is not embedded again"
        assert index.verify() == []


def free(path):
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
