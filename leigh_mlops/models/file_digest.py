"""Digest of the files of a model package."""

import hashlib
from pathlib import Path

from leigh_mlops.errors import LeighError
from leigh_mlops.models.package import ARRAYS
from leigh_mlops.models.weights import DESCRIPTION, WEIGHTS

__all__ = ["package_digest"]


def package_digest(folder: Path) -> str:
    """Digest of the three files of a package, 64 hexadecimal digits: SHA-256 of the SHA-256 of each, with its name.

    Raises:
        LeighError: A file is missing.
    """
    whole = hashlib.sha256()
    for name in sorted((ARRAYS, DESCRIPTION, WEIGHTS)):
        try:
            with (folder / name).open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError:
            raise LeighError(f"{folder} has no {name}; give the folder of a model package.") from None
        whole.update(f"{digest}  {name}\n".encode())
    return whole.hexdigest()
