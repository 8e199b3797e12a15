"""Links within a report: file names of the wells' pages, and URLs from a page to a file."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote

__all__ = ["relative_url", "page_names"]

MAX_NAME_LENGTH = 120
"""Maximal length of a name: with its suffix it fits every common file system, also with two bytes per letter."""


def relative_url(root: str, path: str) -> str:
    """Relative URL of a file, as seen from a page.

    Args:
        root: Relative path from the page's folder to the folder that ``path`` starts from, such as ``..``.
        path: Relative path of the file.

    Raises:
        ValueError: ``path`` is absolute.

    Example:
        >>> relative_url("..", "images/a b#1.png")
        '../images/a%20b%231.png'
    """
    if path.startswith(("/", "\\")):
        raise ValueError(f"the path {path!r} is absolute: pass one relative to the job's folder.")
    # Quoting escapes ?, # and the colon of a scheme such as javascript:.
    return f"{root}/{quote(path, errors='surrogateescape')}"


def page_names(keys: Iterable[Sequence[str]]) -> list[str]:
    """File name of the page of each well or plate, unique also on file systems that ignore case.

    Args:
        keys: Plate and well of each page, or its plate alone.

    Example:
        >>> page_names([("P1", "B03"), ("../P1", "B03")])
        ['P1_B03.html', '---P1_B03-748260cb.html']
    """
    names: list[str] = []
    taken: set[str] = set()
    for key in keys:
        text = "_".join(key)
        plain = re.sub(r"[^A-Za-z0-9_-]", "-", text)[:MAX_NAME_LENGTH]
        name = plain if plain == text and plain.lower() not in taken else f"{plain}-{_digest(key)}"
        taken.add(name.lower())
        names.append(f"{name}.html")
    return names


def _digest(key: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(key).encode(errors="surrogatepass")).hexdigest()[:8]
