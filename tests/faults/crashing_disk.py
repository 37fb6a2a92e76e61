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
        self.inode_by_name = {}
        self.moments = []
        for path in self.folder.rglob("*"):
            self.inode_by_name[path] = path.stat().st_ino
            if path.is_file():
                self.content_by_inode[path.stat().st_ino] = path.read_bytes()
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

    def note(self, path):
        if path.is_dir():
            for name in [name for name in self.inode_by_name if name.parent == path]:
                del self.inode_by_name[name]
            for child in path.iterdir():
                self.inode_by_name[child] = child.stat().st_ino
        elif path.exists():
            self.content_by_inode[path.stat().st_ino] = path.read_bytes()

    def read_store(self):
        return {path: path.read_bytes() for path in self.folder.glob(f"{STORE}*") if not path.name.endswith("-shm")}

    def record(self):
        """Keep what is certain now."""
        certain = dict(self.store)
        for path, inode in self.inode_by_name.items():
            folders = [one for one in path.parents if self.folder in one.parents]
            is_ours = self.folder in path.parents and not path.name.startswith(STORE)
            if is_ours and path.suffix and all(one in self.inode_by_name for one in folders):
                certain[path] = self.content_by_inode.get(inode, b"")
        moment = {
            path.relative_to(self.folder): (content, path.stat().st_size if path.exists() else 0)
            for path, content in certain.items()
        }
        if not self.moments or self.moments[-1] != moment:
            self.moments.append(moment)

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
