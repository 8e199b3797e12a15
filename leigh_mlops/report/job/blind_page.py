"""Page of a blind test, and the section of a job's report with its result."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from leigh_mlops.report.image_files import atomic_write
from leigh_mlops.report.job.templating import render_macro, write_page

__all__ = ["BlindPicture", "replace_blind_section", "write_blind_page"]

_TEMPLATE = "job_blind.html"
_MACROS = ("blind_link", "blind_section")


class BlindPicture(NamedTuple):
    """Picture of a blind test.

    Attributes:
        name: Name of its file, ``pictures/<name>.png``.
        claim: Class that it shows, real or generated.
    """

    name: str
    claim: str


def write_blind_page(path: Path, test: str, pictures: Sequence[BlindPicture], size: tuple[int, int]) -> Path:
    """Write the page of a blind test, which does not know which pictures are real.

    Args:
        path: The file to write, beside the folder of the pictures.
        test: Identifier of the test.
        pictures: Pictures in the order in which they are shown.
        size: Height and width of each picture in pixels.

    Returns:
        ``path``.
    """
    content = {"test": test, "pictures": [list(each) for each in pictures]}
    classes = sorted({each.claim for each in pictures})
    return write_page(
        path,
        "blind_test.html",
        "blind_script.html",
        title="Real or generated?",
        content=content,
        classes=classes,
        size=size,
    )


def replace_blind_section(page: Path, sentences: Sequence[str]) -> bool:
    """Replace the section on the blind test in the page of a job.

    Args:
        page: ``index.html`` of the report.
        sentences: Result in sentences.

    Returns:
        Whether the page exists and has a place for the section, which pages of version 0.1.0 have not.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    for macro in _MACROS:
        text = _replace_region(text, macro, render_macro(_TEMPLATE, macro, sentences))
    if not text:
        return False
    with atomic_write(page) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return True


def _replace_region(text: str, name: str, new: str) -> str:
    """Replace what lies between two comments; empty if the text lacks them.

    All other text of a page is escaped, so no such comment comes from a name in the data.
    """
    before, _, rest = text.partition(f"<!-- {name} -->")
    _, end, after = rest.partition(f"<!-- /{name} -->")
    return f"{before}{new}{after}" if end else ""
