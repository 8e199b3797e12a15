"""A disk with a cache that a loss of power empties, and the calls by which the search reaches it.

A file that was not flushed may lose what was written since, in whole or in part; folders, renames and removals are
safe at once and in order, as a journaling file system keeps them.
"""

import errno
import io
import os
import posixpath
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any, ClassVar

from filelock import Timeout

from benchmarks.nights.faults import Fault
from benchmarks.nights.world import World

__all__ = ["Disk", "SimulatedPath"]

_WRITE_S = 0.02


@dataclass(eq=False)
class File:
    """Content of a file, and how much of it a loss of power leaves for sure."""

    content: bytes = b""
    safe: int = 0

    def lose(self, dice: random.Random) -> None:
        """Lose what was not flushed, or a part of it."""
        self.safe = min(self.safe, len(self.content))
        self.content = self.content[: dice.randint(self.safe, len(self.content))]


@dataclass
class Disk:
    """Files and folders by their absolute paths, and the locks that a program holds."""

    world: World
    files: dict[str, File] = field(default_factory=dict)
    folders: set[str] = field(default_factory=lambda: {"/"})
    locks: set[str] = field(default_factory=set)

    def lose_power(self) -> None:
        """Empty the cache."""
        for file in self.files.values():
            file.lose(self.world.dice)

    def write(self, path: str, content: bytes) -> int:
        """Append to a file; returns how much of it found space."""
        file, half = self.files[path], self.world.dice.randint(0, len(content))

        def append(size: int) -> int:
            file.content += content[:size]
            return size

        if self.world.has(Fault.FULL) and self.world.dice.random() < 0.7:
            self.world.act(f"write {path}, which is full", lambda: append(half))
            if half == 0 or self.world.dice.random() < 0.5:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            return half
        act = self.world.act
        return act(f"write {path}", lambda: append(len(content)), part=lambda: append(half), seconds=_WRITE_S)

    def flush(self, path: str) -> None:
        """Flush a file."""
        file = self.files[path]
        if self.world.has(Fault.FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        self.world.act(f"flush {path}", lambda: setattr(file, "safe", len(file.content)), seconds=_WRITE_S)

    def truncate(self, path: str, size: int) -> None:
        """Cut a file."""
        file = self.files[path]
        self.world.act(f"truncate {path}", lambda: setattr(file, "content", file.content[:size]))

    def replace(self, source: str, target: str) -> None:
        """Rename a file to the name of another."""
        self.world.act(f"rename {source}", lambda: self.files.__setitem__(target, self.files.pop(source)))

    def remove_tree(self, path: str) -> None:
        """Remove a folder with all that is in it, in any order."""
        inside = [name for name in [*self.files, *self.folders] if name.startswith(f"{path}/")]
        files = [name for name in inside if name in self.files]
        self.world.dice.shuffle(files)
        for name in files:
            self.world.act(f"remove {name}", lambda name=name: self.files.pop(name, None), seconds=0.001)  # type: ignore[misc]
        self.folders -= {path, *inside}

    def store_file(self, path: str, content: bytes) -> None:
        """Write a whole file by another process, which no fault of the driver interrupts."""
        self.files[path] = File(content)
        self.folders |= {str(parent) for parent in PurePosixPath(path).parents}

    def drop_tree(self, path: str) -> None:
        """Remove a folder by another process."""
        self.folders = {name for name in self.folders if name != path and not name.startswith(f"{path}/")}
        self.files = {name: file for name, file in self.files.items() if not name.startswith(f"{path}/")}

    def walk(self, folder: object) -> list[tuple[str, list[str], list[str]]]:
        """List the files below a folder by their relative names, as if all lay in it."""
        return [
            (str(folder), [], [name.removeprefix(f"{folder}/") for name in self.files if name.startswith(f"{folder}/")])
        ]

    def lock(self, folder: object, timeout_s: float = 0) -> SimpleNamespace:
        """Lock a folder by a file beside it, which a dead program can't hold."""
        path = f"{folder}.lock"
        if path in self.locks:
            raise Timeout(path)
        self.files.setdefault(path, File())
        self.locks.add(path)
        return SimpleNamespace(lock_file=path, release=lambda: self.locks.discard(path))


class SimulatedPath(PurePosixPath):
    """Path on the disk of the present night, with the calls of a Path that the search uses."""

    disk: ClassVar[Disk]

    def exists(self) -> bool:
        """Return whether there is such a file or folder."""
        return str(self) in self.disk.files or self.is_dir()

    def is_dir(self) -> bool:
        """Return whether it is a folder."""
        return str(self) in self.disk.folders

    def absolute(self) -> "SimulatedPath":
        """Return the path, which is absolute."""
        return self

    def stat(self) -> SimpleNamespace:
        """Return the size."""
        return SimpleNamespace(st_size=len(self.read_bytes()))

    def mkdir(self, mode: int = 0o777, parents: bool = False, exist_ok: bool = False) -> None:
        """Make a folder."""
        if self.exists() and not exist_ok:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self))
        if not self.exists():
            made = {str(self), *map(str, self.parents)}
            self.disk.world.act(f"make {self}", lambda: self.disk.folders.update(made))

    def read_bytes(self) -> bytes:
        """Read the file."""
        if str(self) not in self.disk.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        return self.disk.files[str(self)].content

    def read_text(self, encoding: str = "utf-8") -> str:
        """Read the file as text."""
        return self.read_bytes().decode(encoding)

    def write_text(self, text: str) -> None:
        """Write a file anew."""
        self.disk.files[str(self)] = File()
        if self.disk.write(str(self), text.encode()) < len(text.encode()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))

    def open(self, mode: str = "r", buffering: int = -1, encoding: str | None = None) -> Any:
        """Open the file to read its text, to append to it or to flush it."""
        if mode == "r":
            return io.StringIO(self.read_text())
        if mode == "rb":
            self.read_bytes()
            return Handle(str(self), self.disk)
        self.disk.files.setdefault(str(self), File())
        return Handle(str(self), self.disk)

    def iterdir(self) -> Iterator["SimulatedPath"]:
        """List the folder."""
        inside = {*self.disk.files, *self.disk.folders}
        return iter([type(self)(name) for name in sorted(inside) if posixpath.dirname(name) == str(self) != name])

    def glob(self, pattern: str) -> Iterator["SimulatedPath"]:
        """List what matches in the folder."""
        return (path for path in self.iterdir() if fnmatch(path.name, pattern))

    def unlink(self, missing_ok: bool = False) -> None:
        """Remove a file."""
        if not missing_ok:
            self.read_bytes()
        self.disk.world.act(f"remove {self}", lambda: self.disk.files.pop(str(self), None))


@dataclass
class Handle:
    """An open file, which is its own descriptor."""

    path: str
    disk: Disk

    def __enter__(self) -> "Handle":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def write(self, content: bytes) -> int:
        """Append bytes; returns how many found space."""
        return self.disk.write(self.path, content)

    def fileno(self) -> str:
        """Return the descriptor."""
        return self.path
