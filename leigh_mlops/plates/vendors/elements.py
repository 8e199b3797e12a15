"""Elements of the XML that microscopes write, one after the other and with nothing that expands."""

import re
from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse

from leigh_mlops.errors import LeighError

__all__ = ["local_name", "root_element", "stream_elements", "whole_number"]


def stream_elements(path: Path, wanted: set[str], remedy: str) -> Iterator[Element]:
    """Read the elements of some names, each with its content, in the order of the file.

    Everything else is freed as soon as it has been read, and so is an element once the next
    one is requested: the index of a whole plate takes little memory.

    Args:
        path: The file.
        wanted: Names without namespace. An element within a wanted one is part of it.
        remedy: What to do about a broken file, the end of the error's sentence.

    Raises:
        LeighError: The file cannot be read, is no XML, or declares a document type.
    """
    inside = None
    for event, element in _events(path, remedy):
        if event == "start":
            if inside is None and local_name(element.tag) in wanted:
                inside = element
        elif inside is None:
            element.clear()
        elif element is inside:
            yield element
            element.clear()
            inside = None


def root_element(path: Path, remedy: str) -> Element:
    """The outermost element with its attributes and nothing in it; errors as :func:`stream_elements`."""
    return next(_events(path, remedy))[1]


def _events(path: Path, remedy: str) -> Iterator[tuple[str, Element]]:
    try:
        with path.open("rb") as file:
            yield from iterparse(file, events=("start", "end"), forbid_dtd=True)
    except DefusedXmlException as error:
        raise LeighError(f"{path} declares a document type, which no microscope writes; {remedy}.") from error
    except (OSError, ParseError, LookupError, ValueError) as error:  # an unknown encoding is one of the last two
        raise LeighError(f"{path} cannot be read as XML ({str(error)[:120]}); {remedy}.") from error


def local_name(tag: str) -> str:
    """Name of an element or attribute without its namespace, which changes with the version.

    Example:
        >>> local_name("{http://www.perkinelmer.com/PEHH/HarmonyV5}Image")
        'Image'
    """
    return tag.rpartition("}")[2]


def whole_number(text: str | None) -> int | None:
    """A number from 0 to 999999999 as an index writes it; ``None`` for anything else.

    Example:
        >>> whole_number(" 07 "), whole_number("1e9"), whole_number(None)
        (7, None, None)
    """
    return int(text) if text and re.fullmatch(r"\s*[0-9]{1,9}\s*", text) else None
