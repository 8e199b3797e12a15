"""Addresses within a report: names of wells' pages, and ways from a page to a file."""

import hashlib
import re
from collections.abc import Iterable
from urllib.parse import quote

__all__ = ["address", "page_names"]

LONGEST = 120
"""Letters of a name: with its ending it fits every file system in use, also where a letter takes two bytes."""


def address(root: str, path: str) -> str:
    """A file's address as seen from a page.

    Args:
        root: Way from the page's folder to the folder that ``path`` starts from, such as ``..``.
        path: Relative path.

    Raises:
        ValueError: ``path`` is absolute.

    Example:
        >>> address("..", "images/a b#1.png")
        '../images/a%20b%231.png'
    """
    if path.startswith(("/", "\\")):
        raise ValueError(f"the path {path!r} is absolute: pass one relative to the job's folder.")
    # Quoting takes the meaning from ?, # and from a scheme such as javascript:.
    return f"{root}/{quote(path, errors='surrogateescape')}"


def page_names(wells: Iterable[tuple[str, str]]) -> list[str]:
    """A file name for each well, all different, also where a file system takes a for A.

    Args:
        wells: Plate and well of each.

    Example:
        >>> page_names([("P1", "B03"), ("../P1", "B03")])
        ['P1_B03.html', '---P1_B03-748260cb.html']
    """
    names: list[str] = []
    taken: set[str] = set()
    for plate, well in wells:
        text = f"{plate}_{well}"
        plain = re.sub(r"[^A-Za-z0-9_-]", "-", text)[:LONGEST]
        name = plain if plain == text and plain.lower() not in taken else f"{plain}-{_digest(plate, well)}"
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names


def _digest(plate: str, well: str) -> str:
    return hashlib.sha256(f"{plate}\0{well}".encode(errors="surrogatepass")).hexdigest()[:8]
