"""Tables and report of a screen of many plates: time, memory and the size of the first page, and how they grow.

    python -m benchmarks.hundred_plates [--plates 1,3,10,30,100] [--keep FOLDER]

Each plate has 384 wells of 9 fields: 64 control wells, and 160 compounds in two wells each. The records are those of a
job with occlusion maps of a ResNeXt, drawn once and written for each plate under its own name; all pictures of fields
are links to one drawn field. Tables and report are built in a process of their own, by the job's own functions. Printed
are its time and peak memory, the size of ``index.html``, and the line that fits processor time and memory best
(least squares) with its share of the variance. The last line is one JSON object.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.report import report
from benchmarks.report_page import package
from leigh_mlops.explanations import LatentMap
from leigh_mlops.jobs.job_file import read_job, write_job
from leigh_mlops.jobs.records import pack_records
from leigh_mlops.jobs.reporting.outputs import build_tables, write_outputs
from leigh_mlops.jobs.worker import field_ids
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates import well_name
from leigh_mlops.report.image_files import write_png

ROWS, COLUMNS, FIELDS, BATCH = 16, 24, 9, 8
CLASSES, CHANNELS, LATENTS = ("DS", "WT"), ("DAPI", "TMRM"), 8
MEASURES = (
    *(f"{what}_{channel}" for what in ("intensity", "texture") for channel in CHANNELS),
    *(f"{structure}_area" for structure in ("nuclei", "mitochondria")),
    *(f"{structure}_intensity_{channel}" for structure in ("nuclei", "mitochondria") for channel in CHANNELS),
)
QUALITIES = ("max", "bits", "at_max", "focus", "foreground")
PICTURES = {"image": "image", "image_DAPI": "image_1", "image_TMRM": "image_2", "occlusion": "occlusion"}
TEXTURED = 2000
"""Number of fields of a job whose texture and map are kept."""

MINUTES, GIB, INDEX_MB = 20.0, 4.0, 2.0
_NAME = "@plate@"


def image_table(plates: int) -> pd.DataFrame:
    """Image table of some plates: negative controls in the first two columns, positive ones in the last two."""
    places = list(product(range(1, ROWS + 1), range(1, COLUMNS + 1), range(1, FIELDS + 1)))
    rows, columns, sites = (np.array(each) for each in zip(*places, strict=True))
    diseased, healthy = columns <= 2, columns >= COLUMNS - 1
    numbers = ((rows - 1) * (COLUMNS - 4) + columns - 3) // 2
    wells = [well_name(row, column) for row, column, _ in places]
    one = pd.DataFrame({
        "Metadata_Well": wells, "Metadata_Site": sites, "Metadata_Row": rows, "Metadata_Col": columns,
        "Metadata_Condition": np.where(healthy, "WT", np.where(diseased, "DS", None)),
        "Metadata_Control": np.where(healthy, "poscon", np.where(diseased, "negcon", None)),
    })  # fmt: skip
    treated = ~(diseased | healthy)
    named = [
        [f"compound {plate * 160 + number}" if has else None for number, has in zip(numbers, treated, strict=True)]
        for plate in range(plates)
    ]
    tables = [
        one.assign(Metadata_Plate=plate_name(plate), Metadata_Compound=names) for plate, names in enumerate(named)
    ]
    return pd.concat(tables, ignore_index=True)


def plate_name(number: int) -> str:
    """Name of a plate, by its number from 0."""
    return f"BR{number + 1:05d}"


def draw_records(rng: np.random.Generator, table: pd.DataFrame, kept: float) -> list[str]:
    """Draw the records of one plate as texts of batches, with a placeholder for its name.

    Args:
        rng: Source of the numbers.
        table: Image table of one plate.
        kept: Share of the fields whose texture and map are kept.
    """
    healthy = table["Metadata_Condition"].to_numpy(object) == "WT"
    diseased = table["Metadata_Condition"].to_numpy(object) == "DS"
    of_compounds = np.repeat(rng.choice([-3.0, -2.5, 0.0, 2.0], len(table) // FIELDS, p=[0.7, 0.2, 0.06, 0.04]), FIELDS)
    levels = np.where(healthy, 3.0, np.where(diseased, -3.0, of_compounds)) + rng.normal(0, 1, len(table))
    records = []
    for level, well, site in zip(levels, table["Metadata_Well"], table["Metadata_Site"], strict=True):
        name = f"{_NAME}_{well}_f{site}"
        record = {
            "field": name,
            "files": [[f"{name}-{channel}.tif", 2_000_000, 1_795_992_120_625_424_375] for channel in CHANNELS],
            "seen": False,
            "numbers": draw_numbers(rng, float(level)),
            "pictures": {key: f"images/{name}/{file}.png" for key, file in PICTURES.items()},
        }
        if rng.uniform() < kept:
            record["texture"] = {"image": rng.normal(size=100).round(5).tolist()}
            record["map"] = {"method": "occlusion", "values": rng.normal(size=(16, 16)).round(3).tolist()}
        records.append(record)
    return [json.dumps(records[start : start + BATCH]) for start in range(0, len(records), BATCH)]


def draw_numbers(rng: np.random.Generator, level: float) -> dict[str, object]:
    """Draw the numbers of one field from its log-odds of the healthy class."""
    healthy = float(1 / (1 + np.exp(-level)))
    latents = rng.normal([level, *[0.0] * (LATENTS - 1)], 1.0).tolist()
    numbers: dict[str, object] = {
        "energy": float(rng.normal()), "predicted": CLASSES[int(level > 0)],
        "probability_DS": 1 - healthy, "probability_WT": healthy,
        **{f"latent_{place}": value for place, value in enumerate(latents, start=1)},
        "latent_distance": float(np.sqrt(np.square(latents).sum())),
        "occlusion_target": CLASSES[int(level > 0)], "occlusion_full_colour": 0.5, "occlusion_clipped": 0.001,
        "image_nuclei_count": float(rng.poisson(60)),
    }  # fmt: skip
    numbers |= {f"image_{measure}": float(rng.uniform(1, 2)) for measure in MEASURES}
    for channel in (*CHANNELS, "+".join(CHANNELS)):
        numbers |= {f"quality_{quality}_{channel}": float(rng.uniform(0.5, 0.6)) for quality in QUALITIES}
    return numbers


def write_records(out: Path, table: pd.DataFrame) -> None:
    """Write the job's folder as workers leave it: records in small files, and pictures, which are links."""
    rng, plates = np.random.default_rng(0), list(dict.fromkeys(table["Metadata_Plate"]))
    texts = draw_records(rng, table.iloc[: ROWS * COLUMNS * FIELDS], min(1.0, TEXTURED / len(table)))
    (out / "parts").mkdir(parents=True)
    (out / "images").mkdir()
    (out / "drawn").mkdir()
    for file in PICTURES.values():
        write_png(out / "drawn" / f"{file}.png", rng.integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for plate in plates:
        for number, text in enumerate(texts):
            (out / "parts" / f"{plate}{number:04d}.json").write_text(text.replace(_NAME, plate))
    for plate, well, site in table[["Metadata_Plate", "Metadata_Well", "Metadata_Site"]].itertuples(index=False):
        (out / "images" / f"{plate}_{well}_f{site}").symlink_to(out / "drawn", target_is_directory=True)
    job = {"model": "models:/leigh-resnext/1", "data": "screen", "methods": ["occlusion"]}
    write_job(out, job)


def explained_by() -> ModelPackage:
    """Package of a small network with a latent map and a calibration; nothing else of it is used."""
    rng, made = np.random.default_rng(1), package()
    known = LatentMap(
        np.zeros(LATENTS), np.eye(LATENTS), np.ones(LATENTS), np.full(LATENTS, 1 / LATENTS),
        np.sort(np.sqrt(rng.chisquare(LATENTS, 500))),
    )  # fmt: skip
    made.arrays.update(known.to_arrays())
    made.arrays["calibration/labels"] = np.repeat([0, 1], 30)
    made.arrays["calibration/scores"] = rng.exponential(0.1, 60)
    made.about["calibration"] = {"temperature": 1.2, "ece_before": 0.03, "ece_after": 0.02, "wells": 60}
    return made


def build(out: Path, plates: int) -> None:
    """Build tables and report in this process, and print what they took as JSON."""
    model, table = explained_by(), image_table(plates)
    before, start = peak_gib(), time.perf_counter()
    used = processor_seconds()
    pack_records(out, dict(zip(field_ids(table), table["Metadata_Plate"], strict=True)))
    fields, failures = build_tables(out, table)
    tables = processor_seconds() - used
    write_outputs(out, fields, failures, model, read_job(out))
    seconds, used = time.perf_counter() - start, processor_seconds() - used
    index = (out / "report" / "index.html").stat().st_size / 1e6
    pages = [path.stat().st_size for path in (out / "report").rglob("*.html")]
    figures = {"seconds": seconds, "processor": used, "records": tables, "peak": peak_gib(), "before": before}
    print(json.dumps(figures | {"index": index, "pages": len(pages), "size": sum(pages) / 1e6}))


def peak_gib() -> float:
    """Largest memory of this process so far, GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def processor_seconds() -> float:
    """Processor time of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(folder: Path, plates: int) -> dict[str, float]:
    """Write the records of some plates, and build their tables and report in a process of its own."""
    out = folder / f"plates-{plates}"
    write_records(out, image_table(plates))
    command = [sys.executable, "-m", "benchmarks.hundred_plates", "--build", str(out), "--plates", str(plates)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(
        f"{plates} plates: {found['seconds']:.0f} s, {found['processor']:.0f} s of the processor (records "
        f"{found['records']:.0f}), peak {found['peak']:.2f} GiB ({found['before']:.2f} before it), index.html "
        f"{found['index']:.2f} MB, {found['pages']:.0f} pages, {found['size']:.0f} MB",
        flush=True,
    )
    return found


def fit_line(counts: list[int], values: list[float]) -> tuple[float, float, float]:
    """Slope, intercept and share of the variance (R squared) of a line through values by number of plates."""
    slope, intercept = np.polyfit(counts, values, 1)
    left = np.asarray(values) - (slope * np.asarray(counts) + intercept)
    return float(slope), float(intercept), float(1 - left.var() / np.var(values))


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plates", default="1,3,10,30,100")
    parser.add_argument("--keep", type=Path, help="Folder for the jobs; by default a temporary one.")
    parser.add_argument("--build", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    counts = [int(each) for each in given.plates.split(",")]
    if given.build:
        build(given.build, counts[0])
        return
    with tempfile.TemporaryDirectory() as temporary:
        found = [measure(given.keep or Path(temporary), count) for count in counts]
    if len(counts) > 1:
        for name, unit in (("processor", "s"), ("peak", "GiB")):
            slope, intercept, share = fit_line(counts, [each[name] for each in found])
            print(f"{name}: {intercept:.3g} {unit} and {slope:.3g} {unit} a plate, R squared {share:.4f}")
    last = found[-1]
    print(f"bars: {MINUTES:.0f} minutes, {GIB:.0f} GiB, index page of {INDEX_MB:.0f} MB")
    report(f"report of {counts[-1]} plates", ours=last["seconds"], reference=60 * MINUTES, unit="s", bar=1.0)


if __name__ == "__main__":
    main()
