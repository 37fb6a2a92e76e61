"""A record of what a disk holds for certain at every moment of a change, as if the power had gone just then.

A file's content is certain once the file was synced, and its name once its folder was. What was written since is
dropped, or turned into zeros, as file systems do that give room to a file before its content comes. SQLite syncs its
own files, out of sight from here, in a way that its authors test with simulated power loss; so the store is taken as it
was at its last commit.
"""

import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from routeret.index.schema import STORE
from routeret.index.store_writer import StoreWriter


class CrashingDisk:
    """Watches one folder; ``moments`` holds, by relative path, the certain content of a file and its length then."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.content_by_inode = {}
        self.names_by_inode = {}
        self.length_by_inode = {}
        self.moments = []
        self.open = {}
        for path in (self.folder, *self.folder.rglob("*")):
            self.note(path)
        self.store = self.read_store()

    @contextmanager
    def watching(self, monkeypatch):
        """Record a moment before and after everything that makes something certain."""
        real_sync, real_transaction = os.fsync, StoreWriter.transaction

        def sync(descriptor):
            self.record()
            real_sync(descriptor)
            self.note(Path(os.readlink(f"/proc/self/fd/{descriptor}")))
            self.record()

        @contextmanager
        def transaction(writer):
            self.record()
            with real_transaction(writer):
                yield
            self.store = self.read_store()
            self.record()

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", sync)
            patch.setattr(StoreWriter, "transaction", transaction)
            yield self
        self.store = self.read_store()
        self.record()
        for descriptor in self.open.values():
            os.close(descriptor)

    def note(self, path):
        """Take the content of a file, or the names in a folder, for certain."""
        if path.is_dir():
            self.names_by_inode[path.stat().st_ino] = {child.name: child.stat().st_ino for child in path.iterdir()}
        elif path.exists():
            self.content_by_inode[path.stat().st_ino] = path.read_bytes()

    def read_store(self):
        return {
            path.name: path.read_bytes() for path in self.folder.glob(f"{STORE}*") if not path.name.endswith("-shm")
        }

    def record(self):
        """Keep what is certain now."""
        self.length_by_inode = {path.stat().st_ino: path.stat().st_size for path in self.folder.rglob("*")}
        for path in self.folder.rglob("*"):
            # While it is open, its number is not given to another file.
            if path.stat().st_ino not in self.open:
                self.open[path.stat().st_ino] = os.open(path, os.O_RDONLY)
        moment = {Path(name): (content, len(content)) for name, content in self.store.items()}
        moment |= dict(self.certain(self.folder.stat().st_ino, Path()))
        if not self.moments or self.moments[-1] != moment:
            self.moments.append(moment)

    def certain(self, inode, path):
        """Every file below a folder whose name is certain, by its inode, since a folder may be renamed."""
        for name, child in self.names_by_inode.get(inode, {}).items():
            if name.startswith(STORE):
                continue
            if child in self.names_by_inode:
                yield from self.certain(child, path / name)
            elif child in self.content_by_inode or "." in name:
                content = self.content_by_inode.get(child, b"")
                yield path / name, (content, self.length_by_inode.get(child, 0))

    @staticmethod
    def write(moment, folder, *, zeros):
        """Make a folder as it would be found after a crash at a moment.

        Args:
            moment: one of ``moments``.
            folder: is emptied first.
            zeros: whether vector files have their length already, with zeros where their content is not certain.
        """
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for path, (content, length) in moment.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            n_zeros = max(length - len(content), 0) if zeros and path.parts[0] == "vectors" else 0
            (folder / path).write_bytes(content + bytes(n_zeros))
