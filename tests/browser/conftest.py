"""A real browser, and a report to open in it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leigh_mlops.report.image_files import write_png
from leigh_mlops.report.job.job_report import (
    CounterfactualStep,
    FieldSection,
    JobReport,
    PlateMetric,
    ReportPicture,
    write_job_report,
)
from leigh_mlops.report.table_columns import Columns

SCRIPT = "<script>alert(1)</script>"
IMAGE = '"><img src=x onerror=alert(1)>'
LINK = "javascript:alert(1)"
PATH = "../../etc/pass|wd\\x"
HOSTILE = (SCRIPT, IMAGE, LINK, PATH)

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visit:
    """A page, everything that it asked for, and everything that it complained about."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.asked: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.asked.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))

    def quiet(self) -> bool:
        """Whether nothing was asked of anybody and nothing went wrong."""
        abroad = [url for url in self.asked if not url.startswith(("file:", "data:"))]
        assert self.asked
        assert abroad == []
        assert self.complaints == []
        return True


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Visit]]:
    contexts = []

    def opened(path: Path, **options: Any) -> Visit:
        contexts.append(browser.new_context(**options))
        made = Visit(contexts[-1].new_page())
        made.page.goto(path.as_uri())
        return made

    yield opened
    for context in contexts:
        context.close()


def make_section(name: str, picture: str, number: int) -> FieldSection:
    steps = [
        CounterfactualStep(picture, "image", 0.02), CounterfactualStep(picture, "at the boundary", 0.5, "green"),
        CounterfactualStep(picture, "past the boundary", 0.95, "amber"),
    ]  # fmt: skip
    return FieldSection(
        f"Field {number}", {"predicted class": name}, ("defocus",) if number == 1 else (),
        ReportPicture(picture, "Image", name), [ReportPicture(picture, "DAPI", name)],
        [ReportPicture(picture, "Occlusion", name, "It has not passed.")], name, steps,
        [{"counterfactual": "past the boundary", "status": "amber", "note": name}],
        [{"measure": name, "image": 1.0, "change": -0.5}], [ReportPicture(picture, name, name)], [name],
    )  # fmt: skip


def tables(wells: int, text: str) -> tuple[Columns, Columns]:
    """Wells of a 96-well plate and two fields of each."""
    rng, columns = np.random.default_rng(0), 12
    rows = []
    for number in range(wells):
        row, column = number // columns + 1, number % columns + 1
        rows.append({
            "Metadata_Plate": text or "P1", "Metadata_Well": f"{chr(64 + row)}{column:02d}", "Metadata_Row": row,
            "Metadata_Col": column, "Metadata_Condition": text or ("DS", "WT")[number % 2],
            "Metadata_Compound": text or f"C{number % 5}", "predicted": text or ("DS", "WT")[number // 2 % 2],
            "probability_WT": float(rng.uniform()), "score": float(rng.normal(0, 3)), "flagged": number % 3,
            "latent_1": float(rng.normal()), "latent_2": float(rng.normal()),
        })  # fmt: skip
    of_wells = {name: [row[name] for row in rows] for name in rows[0]}
    fields = {name: [value for value in values for _ in range(2)] for name, values in of_wells.items()}
    own = {"Metadata_Site": [1, 2] * wells, "field": [f"f{number}" for number in range(2 * wells)]}
    return of_wells, fields | own


def write_job(out: Path, *, wells: int = 24, text: str = "", **changed: Any) -> Path:
    """A job's folder with its report; every text is ``text`` where that is given."""
    of_wells, fields = tables(wells, text)
    picture = "images/" + (text.replace("/", "-").replace("\0", "") or "one") + ".png"
    write_png(out / picture, np.full((8, 8, 3), 90, np.uint8))
    (out / "wells.csv").write_text("x")
    name = text or "WT"
    compounds = list(dict.fromkeys(of_wells["Metadata_Compound"]))
    values = np.linspace(90, -20, len(compounds)).tolist()
    report = JobReport(
        title=text or "Plate P1", warnings=[text or "Position tells the classes apart."], sentences=[name, "Second."],
        details=[name], facts={name: name}, model={"family": name}, fields=fields, wells=of_wells,
        well_columns=["Metadata_Plate", "Metadata_Well", "Metadata_Condition", "probability_WT", "score"],
        metrics=[
            PlateMetric("probability_WT", f"Probability of {name}", name),
            PlateMetric("score", "Score", "", -6, 6, signed=True), PlateMetric("predicted", "Class", name),
        ],
        field_sections=lambda rows: {
            field: make_section(name, picture, int(field[1:]) % 2 + 1) for field in rows["field"]
        },
        group="Metadata_Compound",
        hits={"Metadata_Compound": compounds, "rescue": values, "why": [name] * len(compounds)},
        doses={
            "compound": [name] * 3, "dose": [0.1, 1.0, 10.0], "rescue": [0.0, 50.0, 90.0], "fitted": [1.0, 50.0, 95.0]
        },
        plates={"Metadata_Plate": [text or "P1"], "z_prime_log_odds": [0.4], "note": [name]},
        scores={name: {"accuracy": 0.9, "auc": 0.95}, "position": {"accuracy": 0.5}}, calibration={name: 0.1},
        blind_test=[name], methods={"method": [name], "checks": ["■ not passed"], "why": [name]},
        curves={"epoch": [1, 2] * 2, "metric": ["train/loss"] * 2 + ["val/loss"] * 2, "value": [1, 0.5, 1, 0.7]},
        pictures=[ReportPicture(picture, name, name)],
        failures={"path": [text or "a.tif"], "reason": [name]},
        columns={name: name, "probability_WT": "how sure it is"}, rules={name: name}, citation=name, references=[name],
        downloads={text.lstrip("/") or "wells.csv": name},
    )  # fmt: skip
    return write_job_report(out / "report", JobReport(**(vars(report) | changed)))


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_job(tmp_path_factory.mktemp("job"))
