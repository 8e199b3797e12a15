"""Features of fields that lie on the disk while a long pass runs, so that one that was killed goes on where it was."""

import hashlib
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.models import ModelPackage
from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.training import PreparedData

__all__ = ["PartialFeatures", "embedding_key"]

_BLOCK = 256

Doubles = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class PartialFeatures:
    """Features by row, in a file for each block of fields.

    Args:
        folder: Folder of the blocks.
        key: What the features follow from, see `embedding_key`; blocks of another key are removed.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self.folder, self.key = folder, key
        self._waiting: list[tuple[Rows, Doubles]] = []

    def read(self) -> dict[int, Doubles]:
        """Read the features (P,) of the rows that are known."""
        found: dict[int, Doubles] = {}
        for path in sorted(self.folder.glob("[!.]*.npz")):
            if not path.name.startswith(self.key):
                path.unlink()
                continue
            try:
                with np.load(path) as block:
                    found |= dict(zip(block["rows"].tolist(), block["features"], strict=True))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # a disk that was lost; they are made again
                path.unlink()
        return found

    def add(self, rows: Rows, features: Doubles) -> None:
        """Add features (n, P) of rows (n,); a file is written whenever there are enough for one."""
        self._waiting.append((rows, features))
        if sum(len(each) for each, _ in self._waiting) < _BLOCK:
            return
        known, values = (np.concatenate(each) for each in zip(*self._waiting, strict=True))
        with atomic_write(self.folder / f"{self.key}-{known[0]}.npz") as temporary:
            np.savez(temporary, rows=known, features=values)
        self._waiting.clear()


def embedding_key(package: ModelPackage, data: PreparedData) -> str:
    """Digest of what embeddings follow from: network, scale, pixels with their level, and table; 16 hex digits."""
    described = [package.model.spec.to_json(), package.scale, package.is_adapted, asdict(package.engine)]
    whole = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    for tensor in package.model.state_dict().values():
        whole.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy())
    whole.update(data.cache.digests.tobytes())
    if data.cache.adjust is not None:
        whole.update(data.cache.adjust.tobytes())
    whole.update(data.table.to_json(orient="split").encode())
    return whole.hexdigest()[:16]
