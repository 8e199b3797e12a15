"""A blind test as a person takes it: in a browser, from disk, without a network."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from leigh_mlops.jobs.blind_test import make_blind_test, store_answers
from tests.browser.conftest import Visit
from tests.jobs.blind_job import write_blind_job

Open = Callable[..., Visit]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    out = write_blind_job(tmp_path / "out")
    make_blind_test(out, 2)
    return out


def test_clicks_come_back_as_a_result(visit: Open, job: Path, tmp_path: Path) -> None:
    index = job / "blind" / "test" / "index.html"
    seen = visit(index)
    page, place = seen.page, seen.page.locator("#place")
    page.get_by_label("Your name").fill("../ada")
    page.keyboard.press("Enter")
    assert not place.is_visible()
    page.get_by_label("Your name").fill("ada-r")  # its letters answer nothing
    page.keyboard.press("Enter")
    assert place.inner_text() == "1 of 4"
    page.locator("#picture").evaluate("image => image.decode()")
    assert page.locator("#picture").evaluate("image => image.naturalWidth") == 16
    page.get_by_role("button", name="Real R").click()
    page.keyboard.press("r")
    page.keyboard.press("b")
    assert place.inner_text() == "2 of 4"
    assert page.get_by_role("button", name="Real R").get_attribute("aria-pressed") == "true"
    page.keyboard.press("g")
    page.goto(index.as_uri())  # closed and opened again
    assert place.inner_text() == "3 of 4"
    page.get_by_role("button", name="Generated G").click()
    page.keyboard.press("r")
    assert not place.is_visible()
    with page.expect_download() as found:
        page.get_by_role("button", name="Save answers").click()
    assert found.value.suggested_filename == "answers-ada-r.json"
    found.value.save_as(tmp_path / "answers.json")
    names = list(json.loads((job / "blind" / "key.json").read_text())["pictures"])
    saved = json.loads((tmp_path / "answers.json").read_text())
    assert saved["answers"] == dict(zip(names, ["real", "generated", "generated", "real"], strict=True))
    assert store_answers(job, [tmp_path / "answers.json"]).scores.people == 1
    page.get_by_role("button", name="another person").click()
    page.get_by_label("Your name").fill("bob")
    page.keyboard.press("Enter")
    assert place.inner_text() == "1 of 4"
    seen.asked = [url for url in seen.asked if not url.startswith("blob:file:")]
    assert seen.quiet()


def test_a_page_without_its_pictures_says_so(visit: Open, job: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone.html"
    alone.write_bytes((job / "blind" / "test" / "index.html").read_bytes())
    page = visit(alone).page
    page.get_by_label("Your name").fill("ada")
    assert page.locator("#trouble").is_hidden()
    page.keyboard.press("Enter")
    page.locator("#trouble").wait_for()
    assert "A picture is missing" in page.locator("#trouble").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Open, job: Path, scheme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = visit(
        job / "blind" / "test" / "index.html", color_scheme=scheme, viewport={"width": 400, "height": 700}
    ).page
    for step in ("start", "question", "end"):
        assert page.locator(f"#{step}").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert [fault["id"] for fault in axe.run(page).response["violations"]] == []
        if step == "start":
            page.get_by_label("Your name").fill("ada")
            page.keyboard.press("Enter")
        for _ in range(4 if step == "question" else 0):
            page.keyboard.press("g")
