import re

import pytest
from matplotlib.figure import Figure

from leigh_mlops.report.job.charts import PageChart
from leigh_mlops.report.job.inline_svg import inline_svg
from leigh_mlops.report.style import GRID, INK
from tests.browser.conftest import HOSTILE


def chart(name: str = "wells", links: dict[str, dict[str, str]] | None = None) -> PageChart:
    figure = Figure(figsize=(3, 2))
    axes = figure.subplots()
    dots = axes.scatter([1, 2, 30], [1, 2, 3], c="#0072B2", edgecolors=INK)
    dots.set_urls(list(links) if links else [None])
    axes.set_xlim(0, 10)
    axes.set_xlabel(name)
    axes.grid(color=GRID)
    return PageChart(name, figure, f"dots of {name}", links or {})


def test_equal_charts_give_equal_text_without_date_or_maker() -> None:
    first, second = inline_svg(chart()), inline_svg(chart())
    assert first == second
    assert not re.search('20[0-9][0-9]|Matplotlib|<style|<metadata|http|pt"', first)


def test_identifiers_differ_between_charts() -> None:
    first, second = (set(re.findall(r' id="([^"]*)"', inline_svg(chart(name)))) for name in ("wells", "fields"))
    assert first
    assert not first & second


def test_colours_and_font_are_those_of_the_page() -> None:
    svg = inline_svg(chart(INK))
    assert "var(--ink)" in svg
    assert "var(--line)" in svg
    assert "font-family" not in svg
    assert re.search(f"<text [^>]*>{INK}</text>", svg)


def test_text_is_text_in_any_script() -> None:
    assert ">健康</text>" in inline_svg(chart("健康"))


def test_role_and_name_are_those_of_the_chart() -> None:
    assert re.match(r'<svg viewBox="0 0 216 144" role="img" aria-label="dots of wells">', inline_svg(chart()))


def test_links_have_their_attributes_and_open_in_place() -> None:
    links = {f"wells/P{n}_0.12345.html": {"data-well": str(n), "aria-label": f"<{n}>"} for n in range(3)}
    svg = inline_svg(chart(links=links))
    assert ' role="group" ' in svg
    assert re.findall(r'<a href="([^"]*)" data-well="(\d)" aria-label="([^"]*)"><use ', svg) == [
        (href, each["data-well"], f"&lt;{each['data-well']}&gt;") for href, each in links.items()
    ]


def test_dots_on_the_edge_are_whole() -> None:
    assert "clip-path" not in inline_svg(chart())


@pytest.mark.parametrize("text", [*HOSTILE, "\udcff"])
def test_no_text_becomes_a_tag(text: str) -> None:
    harmless, hostile = (inline_svg(PageChart("", chart().figure, name)) for name in ("wells", text))
    assert re.findall(r"<(\w+)", hostile) == re.findall(r"<(\w+)", harmless)
