"""Figures as SVG elements of a page: text is text, and colours follow the style sheet."""

import io
import re
import warnings
from xml.etree.ElementTree import fromstring, tostring

from markupsafe import Markup
from matplotlib import rc_context

from leigh_mlops.report.job.charts import PageChart
from leigh_mlops.report.style import GRID, INK

__all__ = ["inline_svg"]

COORDINATES = {"d", "x", "y", "transform"}


def inline_svg(chart: PageChart) -> Markup:
    """Draw a chart as an SVG element with an accessible name; equal charts give equal text.

    The style sheet of the page gives its width, its font family and the colours ``--ink`` and ``--line``.
    """
    for artist in chart.figure.findobj():
        artist.set_clip_on(False)  # whole dots also on the edge of the axes
    text = io.StringIO()
    # The identifiers of markers must be unique on the page; a browser has letters that matplotlib's font lacks.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": ascii(chart.description)}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        chart.figure.savefig(text, format="svg", metadata={"Date": None})
    root = fromstring(text.getvalue())
    # Metadata, and a style for all elements, which would be one for the whole page.
    for child in [*root.findall("{*}metadata"), *root.findall("{*}defs[{*}style]")]:
        root.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.tail = None
        if element.tag != "text":
            element.text = None
        attributes = {name.rpartition("}")[2]: value for name, value in element.items()}
        element.attrib = _page_attributes(element.tag, attributes)
        element.attrib.update(chart.links.get(attributes.get("href", ""), {}))
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "group" if chart.links else "img"}
    root.attrib["aria-label"] = chart.description
    return Markup(tostring(root, encoding="unicode"))


def _page_attributes(tag: str, attributes: dict[str, str]) -> dict[str, str]:
    """Drop what a page does not need: most identifiers, fonts, and digits that no screen shows."""
    kept = {name: value for name, value in attributes.items() if name != "target" and (name != "id" or tag == "path")}
    for name in COORDINATES & set(kept):
        short = re.sub(r"(\.\d\d)\d+", r"\1", " ".join(kept[name].split()))
        kept[name] = re.sub(r"M (\S+ \S+) L \1(?= |$)", r"M\1h0", short)
    if tag == "text":
        size, anchor = re.search(r"[\d.]+px", kept["style"]), re.search(r"text-anchor: \w+", kept["style"])
        parts = [f"font-size: {size[0]}" if size else "", anchor[0] if anchor else ""]
        kept["style"] = "; ".join(filter(None, parts))
    if "style" in kept:
        kept["style"] = kept["style"].replace(INK, "var(--ink)").replace(GRID, "var(--line)")
    return kept
