"""The report of a job as its reader meets it: in a browser, from disk, without a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.browser.conftest import HOSTILE, SCRIPT, Visit, write_job

Open = Callable[..., Visit]


def cells(page: Any, table: str, column: int) -> list[str]:
    return [
        row.locator("td").nth(column).inner_text()
        for row in page.locator(f"#{table}-table tbody tr").all()
        if row.is_visible()
    ]


def test_warnings_stand_before_any_picture(visit: Open, job: Path) -> None:
    seen = visit(job)
    assert seen.page.locator("h1").inner_text() == "Plate P1"
    pictures = seen.page.locator("img:visible, svg:visible, table.map")
    tops = [box["y"] for box in (each.bounding_box() for each in pictures.all()) if box]
    warning = seen.page.get_by_text("Position tells the classes apart.").bounding_box()
    assert warning["y"] + warning["height"] < min(tops)
    assert seen.quiet()


def test_a_well_leads_to_its_page_and_back(visit: Open, job: Path) -> None:
    seen = visit(job)
    seen.page.get_by_role("link", name="B03:").click()
    assert seen.page.locator("h1").inner_text() == "P1, well B03"
    assert seen.page.locator("article").count() == 2
    seen.page.get_by_role("link", name="P1, well B04").click()
    assert seen.page.locator("h1").inner_text() == "P1, well B04"
    seen.page.get_by_role("link", name="All wells").click()
    assert seen.page.url == job.as_uri()
    assert seen.quiet()


def test_all_pictures_of_a_well_are_found(visit: Open, job: Path) -> None:
    seen = visit(job.parent / "wells" / "P1_A01.html")
    for details in seen.page.locator("details").all():
        details.locator("summary").click()
    for image in seen.page.locator("img:visible").all():
        image.scroll_into_view_if_needed()
        image.evaluate("image => image.decode()")
        assert image.evaluate("image => image.naturalWidth") == 8
    assert seen.quiet()


def test_the_slider_goes_over_the_boundary_by_keyboard(visit: Open, job: Path) -> None:
    seen = visit(job.parent / "wells" / "P1_A01.html")
    slider = seen.page.get_by_label("Move from the image towards WT").first
    way = seen.page.locator(".way").first
    assert "image: probability of WT 0.020" in way.inner_text()
    assert "at the boundary: probability" not in way.inner_text()
    slider.focus()
    seen.page.keyboard.press("ArrowRight")
    assert "at the boundary: probability of WT 0.500" in way.inner_text()
    assert "● green" in way.inner_text()
    seen.page.keyboard.press("End")
    assert "past the boundary: probability of WT 0.950" in way.inner_text()
    assert "▲ amber" in way.inner_text()
    assert "0.950" in slider.get_attribute("aria-valuetext")
    assert way.locator("img:visible").count() == 1
    way.locator("img:visible").evaluate("image => image.decode()")
    assert seen.quiet()


def test_without_scripts_and_on_paper_every_step_is_seen(visit: Open, job: Path) -> None:
    well = job.parent / "wells" / "P1_A01.html"
    assert visit(well).page.locator(".way").first.locator("img:visible").count() == 1
    assert visit(well, java_script_enabled=False).page.locator(".way").first.locator("img:visible").count() == 3
    printed = visit(well)
    printed.page.emulate_media(media="print")
    assert printed.page.locator(".way").first.locator("img:visible").count() == 3
    assert printed.page.pdf()[:5] == b"%PDF-"


def test_hits_are_filtered_and_sorted(visit: Open, job: Path) -> None:
    seen = visit(job)
    assert cells(seen.page, "hits", 0) == ["C0", "C1", "C2", "C3", "C4"]
    heading = seen.page.locator("#hits-table").get_by_role("button", name="rescue")
    heading.focus()
    seen.page.keyboard.press("Enter")
    assert cells(seen.page, "hits", 0) == ["C4", "C3", "C2", "C1", "C0"]
    heading.click()
    assert cells(seen.page, "hits", 1)[0] == "90.0"
    seen.page.locator("#hits-filter").fill("c3")
    assert cells(seen.page, "hits", 0) == ["C3"]
    assert "1 shown" in seen.page.locator("#hits").inner_text()
    seen.page.locator("#hits-table").get_by_role("link", name="A04").click()
    assert seen.page.locator("h1").inner_text() == "P1, well A04"
    assert seen.quiet()


def test_plates_are_coloured_by_what_is_chosen(visit: Open, job: Path) -> None:
    seen = visit(job)
    well = seen.page.locator(".map a").first
    before, text = well.locator("..").get_attribute("class"), well.inner_text()
    assert seen.page.locator(".legend:visible").count() == 1
    seen.page.get_by_label("Show", exact=True).select_option("Score")
    assert well.inner_text() != text
    assert well.locator("..").get_attribute("class") != before
    assert well.get_attribute("aria-label") == f"A01: {well.inner_text()}"
    assert "Score" in seen.page.locator(".legend:visible").inner_text()
    seen.page.get_by_label("Show", exact=True).select_option("Class")
    assert well.inner_text() in ("DS", "WT")
    assert seen.quiet()


@pytest.mark.parametrize("group", [".map", "#latents"])
def test_wells_are_one_stop_of_the_tab_key_and_arrows_move(visit: Open, job: Path, group: str) -> None:
    seen = visit(job)
    stops = seen.page.locator(f"{group} a[tabindex='0']")
    assert stops.count() == 1
    first = stops.get_attribute("data-well")
    stops.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        seen.page.keyboard.press(key)
    focused = seen.page.locator(f"{group} a:focus")
    assert focused.count() == stops.count() == 1
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.locator(f"{group} a:focus").get_attribute("data-well") != first
    assert "P1, " in seen.page.locator(".about").nth(0 if group == ".map" else 1).inner_text()
    seen.page.keyboard.press("Enter")
    seen.page.wait_for_url("**/wells/**")
    assert seen.quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["index.html", "wells/P1_A01.html"])
def test_axe_finds_nothing(visit: Open, job: Path, scheme: str, name: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    seen = visit(job.parent / name, color_scheme=scheme)
    seen.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert [fault["id"] for fault in axe.run(seen.page).response["violations"]] == []
    seen.page.evaluate("document.querySelector('h1').innerHTML = '<img src=\"data:,\">'")
    assert "image-alt" in [fault["id"] for fault in axe.run(seen.page).response["violations"]]


@pytest.mark.parametrize("width", [400, 1280])
def test_no_page_is_wider_than_its_window(visit: Open, job: Path, width: int) -> None:
    for path in (job, job.parent / "wells" / "P1_A01.html"):
        seen = visit(path, viewport={"width": width, "height": 800})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_comes_out_as_text(visit: Open, tmp_path: Path, text: str) -> None:
    index = write_job(tmp_path / "job", wells=2, text=text)
    assert {path.name for path in tmp_path.iterdir()} == {"job"}
    pages = [index, *(index.parent / "wells").iterdir()]
    assert len(pages) == 3
    for path in pages:
        seen = visit(path)
        assert text in seen.page.locator("h1").inner_text()
        assert seen.page.locator("script").count() == (2 if path == index else 1)
        assert seen.page.locator("[onerror], img[src='x'], a[href^='javascript:']").count() == 0
        assert seen.quiet()
    first = visit(index).page
    first.locator(".map a").first.click()
    assert text in first.locator("h1").inner_text()


def test_hostile_names_would_run_were_they_not_escaped(visit: Open, tmp_path: Path) -> None:
    """The effect that the test above shows to be absent."""
    path = tmp_path / "page.html"
    path.write_text(f"<!doctype html><h1>{SCRIPT}</h1>")
    assert visit(path).complaints == ["1"]


def test_inside_a_viewer_the_page_says_what_it_cannot_do(visit: Open, job: Path, tmp_path: Path) -> None:
    """MLflow shows an HTML artifact as a blob in a frame without an origin."""
    assert visit(job).page.locator("#alone").is_hidden()
    viewer = tmp_path / "viewer.html"
    viewer.write_text("<!doctype html><iframe sandbox='allow-scripts' width=1200 height=800></iframe>")
    seen = visit(viewer)
    seen.page.evaluate(
        "html => { document.querySelector('iframe').src = URL.createObjectURL(new Blob([html], {type: 'text/html'})) }",
        job.read_text(),
    )
    frame = seen.page.frame_locator("iframe")
    frame.locator("#alone").wait_for()
    assert "download the whole folder" in frame.locator("#alone").inner_text()
    assert frame.locator(".map a").count() == 24
    frame.get_by_label("Show", exact=True).select_option("Score")
    frame.get_by_role("link", name="B03:").click()
    assert frame.locator("h1").inner_text() == "Plate P1"
    assert [text for text in seen.complaints if "SecurityError" in text or "TypeError" in text] == []


def test_a_report_of_scores_alone_has_no_empty_sections(visit: Open, tmp_path: Path) -> None:
    from leigh_mlops.report.job.job_report import JobReport, write_job_report

    report = JobReport("Scores", scores={"the model": {"accuracy": 0.9}, "position": {"accuracy": 0.5}}, root=".")
    seen = visit(write_job_report(tmp_path, report))
    headings = seen.page.locator("h2").all_inner_texts()
    assert headings == ["Summary", "Reliability", "Methods and citation", "Failures"]
    assert "0.900" in seen.page.locator("#scores-table").inner_text()
    assert not (tmp_path / "wells").exists()
    assert seen.quiet()


def test_on_paper_the_page_is_light_whatever_the_screen_is(visit: Open, job: Path) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    for path in (job, job.parent / "wells" / "P1_A01.html"):
        seen = visit(path, color_scheme="dark")
        assert seen.page.evaluate(ground) == "rgb(20, 23, 27)"
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.evaluate(ground) == "rgb(255, 255, 255)"
