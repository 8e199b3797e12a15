"""The report of a plate of 384 wells by 9 fields is built within a minute, and opens within three seconds.

Built in one process, then opened in Chromium from disk, where one is found: until every picture in view is
drawn, and how long a frame takes while the page is scrolled from top to bottom.
"""

import resource
import shutil
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import report
from leigh_mlops.jobs.reporting.build_report import Findings, build_report
from leigh_mlops.jobs.reporting.job_tables import job_tables
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.plates import well_name
from leigh_mlops.report.image_files import write_png
from leigh_mlops.report.job.job_report import write_job_report
from leigh_mlops.screening.screen import screen

ROWS, COLUMNS, FIELDS = 16, 24, 9
SECONDS = 60.0
LOADED = 3.0
KINDS = ("boundary", "confident")
MAPS = ("occlusion", "occlusion_DAPI", "occlusion_TMRM", "grad_cam", "integrated_gradients", "smooth_grad")
MEASURES = ("intensity_DAPI", "intensity_TMRM", "texture_TMRM", "nuclei_area", "mitochondria_area")


def simulate_fields(rng: np.random.Generator) -> pd.DataFrame:
    """Simulate the fields of a job: compounds over rows, controls in the outer columns."""
    places = list(product(range(1, ROWS + 1), range(1, COLUMNS + 1), range(1, FIELDS + 1)))
    rows, columns, sites = (np.array(each) for each in zip(*places, strict=True))
    healthy, diseased = columns >= COLUMNS - 1, columns <= 2
    level = np.where(healthy, 3.0, np.where(diseased, -3.0, rows / 4 - 3)) + rng.normal(0, 1, len(rows))
    probability = 1 / (1 + np.exp(-level))
    names = [f"P1_{well_name(row, column)}_f{site}" for row, column, site in places]
    fields: dict[str, object] = {
        "Metadata_Plate": "P1", "Metadata_Well": [well_name(row, column) for row, column, _ in places],
        "Metadata_Site": sites, "Metadata_Row": rows, "Metadata_Col": columns,
        "Metadata_Condition": np.where(healthy, "WT", np.where(diseased, "DS", None)),
        "Metadata_Control": np.where(healthy, "poscon", np.where(diseased, "negcon", None)),
        "Metadata_Compound": np.where(healthy | diseased, None, [f"C{row}" for row in rows]),
        "field": names, "seen": False, "predicted": np.where(level > 0, "WT", "DS"),
        "probability_DS": 1 - probability, "probability_WT": probability, "energy": rng.normal(size=len(rows)),
        "latent_1": level, "latent_2": rng.normal(size=len(rows)), "latent_distance": rng.chisquare(3, len(rows)),
        "counterfactual_target": np.where(level > 0, "DS", "WT"),
    }  # fmt: skip
    fields |= {f"image_{measure}": rng.uniform(1, 2, len(rows)) for measure in MEASURES}
    for place, kind in enumerate(KINDS):
        key = f"counterfactual_{kind}"
        numbers = ("reencoding_error", "padding_energy", "clipped", "distance", *(f"after_{name}" for name in MEASURES))
        fields |= {f"{key}_{name}": rng.uniform(0, 2, len(rows)) for name in numbers}
        fields |= {
            f"{key}_length": 1.0 + place, f"{key}_class": fields["counterfactual_target"], f"{key}_status": "green",
            f"{key}_probability": 0.5 + 0.45 * place, f"{key}_way": "line", f"{key}_attempts": 1,
            f"picture_{key}": [f"images/{name}/{key}.png" for name in names],
        }  # fmt: skip
    for method in MAPS:
        fields |= {f"{method}_target": "WT", f"{method}_full_colour": 0.5, f"{method}_clipped": 0.001}
    for name in ("image", "image_DAPI", "image_TMRM", *MAPS):
        fields[f"picture_{name}"] = [f"images/{field}/{name}.png" for field in names]
    return pd.DataFrame(fields)


def write_pictures(out: Path, fields: pd.DataFrame, rng: np.random.Generator) -> None:
    """Write one picture of 224 pixels under every name, as links, which take neither time nor space."""
    first = write_png(out / "one.png", rng.integers(0, 255, (224, 224, 3), dtype=np.uint8))
    for column in [name for name in fields if str(name).startswith("picture_")]:
        for path in fields[column]:
            (out / path).parent.mkdir(parents=True, exist_ok=True)
            (out / path).hardlink_to(first)


def package() -> ModelPackage:
    """Package of a small network; the report does not use its weights."""
    model = build_model("iresnet", classes=["DS", "WT"], image_size=32, channels=2, blocks=(1, 1), widths=(8, 8))
    about = {"data_fingerprint": "a", "split_fingerprint": "b", "versions": {"leigh_mlops": "0"}}
    return ModelPackage(model, ("DAPI", "TMRM"), {}, about=about)


def measure_opening(page: Path) -> dict[str, float]:
    """Measure the seconds to load a page and to draw the slowest frame while scrolling; empty without a browser."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        return {}
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        shown = browser.new_page(viewport={"width": 1280, "height": 900})
        start = time.perf_counter()
        shown.goto(page.as_uri(), wait_until="load")
        shown.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        loaded = time.perf_counter() - start
        slowest = shown.evaluate(
            """async () => {
              const gaps = [];
              let last = performance.now();
              for (let top = 0; top < document.documentElement.scrollHeight; top += 120) {
                scrollTo(0, top);
                await new Promise(requestAnimationFrame);
                gaps.push(performance.now() - last);
                last = performance.now();
              }
              return [gaps.sort((a, b) => a - b)[Math.floor(0.95 * gaps.length)], Math.max(...gaps)];
            }"""
        )
        browser.close()
    return {"loaded": loaded, "frame p95": slowest[0] / 1000, "slowest frame": slowest[1] / 1000}


def main() -> None:
    """Build the report once, as a job does at its end, and open it."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        fields = simulate_fields(rng)
        write_pictures(out, fields, rng)
        model = package()
        screened = screen(fields, model)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        start = time.perf_counter()
        job = {"model": "models:/leigh-iresnet/1", "data": "plate", "methods": ["counterfactual", *MAPS]}
        failures = pd.DataFrame(columns=["field", "path", "reason"])
        tables = job_tables(screened, failures)
        found = build_report(out, tables, model, job, Findings())
        page = write_job_report(out / "report", found)
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        wells = sorted((out / "report" / "wells").iterdir())
        size = sum(path.stat().st_size for path in wells) / 1e6
        print(f"{len(fields)} fields: {seconds:.1f} s, peak {peak:.2f} GiB, of which {before:.2f} GiB before it")
        print(f"index.html {page.stat().st_size / 1e6:.2f} MB, {len(wells)} pages of wells {size:.1f} MB")
        for name, path in (("index.html", page), ("the page of a well", wells[100])):
            figures = ", ".join(f"{what} {each:.3f} s" for what, each in measure_opening(path).items())
            print(f"{name}: {figures or 'no chromium on this machine'} (held to {LOADED:.0f} s)")
    report("report of 3,456 fields", ours=seconds, reference=SECONDS, unit="s", bar=1.0)


if __name__ == "__main__":
    main()
