"""Demo plates: drawn cultures in the files that an Opera Phenix would write."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.culture import PHENOTYPES, Phenotype, draw_field
from leigh_mlops.plates.layout import PLATE_SHAPES
from leigh_mlops.plates.names import well_name

__all__ = ["is_demo", "write_demo_plate"]

_MAKER = "leigh_mlops demo plate"


def write_demo_plate(
    out: str | os.PathLike[str],
    *,
    classes: Sequence[str] = ("DS", "TT"),
    wells_per_class: int = 18,
    fields_per_well: int = 3,
    image_size_px: int = 128,
    seed: int = 0,
) -> Path:
    """Write a plate of drawn cultures.

    ``Images/`` holds one 16-bit TIFF per field and channel (1 DAPI, 2 TMRM), named as Harmony
    does; ``platemap.csv`` says what stands in each well; ``truth.json`` says that the plate is
    drawn, and what sets its classes apart. Classes alternate by column, so that no smooth effect
    of the position explains them, and DS and TT come from the same donors. The folder appears
    whole or not at all.

    Args:
        out: Folder to write; an earlier demo plate there is replaced.
        classes: Some of ``WT`` (healthy), ``DS`` (dimmer and fragmented mitochondria) and ``TT``
            (nearly no potential).
        wells_per_class: Wells of each class.
        fields_per_well: Fields of each well.
        image_size_px: Side of an image.
        seed: The same seed draws the same plate.

    Returns:
        The folder.

    Raises:
        LeighError: An unknown class, numbers out of bounds, or a folder that holds anything else.
    """
    out = Path(out)
    _check(out, classes, wells_per_class, fields_per_well, image_size_px)
    truth = {
        "made_by": _MAKER,
        "seed": seed,
        "image_size_px": image_size_px,
        "classes": {name: PHENOTYPES[name].to_json() for name in classes},
    }
    temporary = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}")
    (temporary / "Images").mkdir(parents=True)
    try:
        (temporary / "truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")
        _write_plate(temporary, _platemap(classes, wells_per_class), fields_per_well, image_size_px, seed)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _check(out: Path, classes: Sequence[str], wells: int, fields: int, size_px: int) -> None:
    unknown = [name for name in classes if name not in PHENOTYPES]
    if unknown or not classes or len(set(classes)) < len(classes):
        given = ",".join(classes) or "none"
        raise LeighError(f"classes {given} cannot be drawn; choose different ones of {', '.join(PHENOTYPES)}.")
    bounds = {"wells per class": (wells, 1, 400), "fields": (fields, 1, 99), "image size": (size_px, 16, 4096)}
    for name, (value, low, high) in bounds.items():
        if not low <= value <= high:
            raise LeighError(f"{name} {value} is out of bounds; choose {low} to {high}.")
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not is_demo(out)):
        raise LeighError(f"{out} exists and is no demo plate; name a new folder.")


def is_demo(out: Path) -> bool:
    """Whether a folder is a plate that :func:`write_demo_plate` wrote."""
    try:
        truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(truth, dict) and truth.get("made_by") == _MAKER


def _platemap(classes: Sequence[str], wells_per_class: int) -> pd.DataFrame:
    """One row per well: its place, class, control and donor."""
    n_cols, wells = _usable_columns(len(classes), wells_per_class), len(classes) * wells_per_class
    # The brightest class is the negative control of a loss of potential, the dimmest the positive.
    ranked = sorted(classes, key=lambda name: PHENOTYPES[name].tmrm)
    control = {ranked[-1]: "negcon"} | ({ranked[0]: "poscon"} if len(ranked) > 1 else {})
    records = []
    for index in range(wells):
        name = classes[index % n_cols % len(classes)]
        row, col = index // n_cols + 2, index % n_cols + 2
        records.append(
            {
                "well_position": well_name(row, col),
                "condition": name,
                "control": control.get(name, ""),
                "donor": f"{'healthy' if name == 'WT' else 'patient'}{1 + index // len(classes) % 3}",
                "row": row,
                "col": col,
            }
        )
    return pd.DataFrame.from_records(records)


def _usable_columns(n_classes: int, wells_per_class: int) -> int:
    """Columns to fill on the smallest plate from 96 wells up; its edge stays empty."""
    for size in (96, 384, 1536):
        rows, cols = PLATE_SHAPES[size]
        usable = (cols - 2) // n_classes * n_classes
        if usable * (rows - 2) >= n_classes * wells_per_class:
            return usable
    raise LeighError(f"{n_classes * wells_per_class} wells fit on no plate; choose fewer wells per class.")


def _write_plate(folder: Path, platemap: pd.DataFrame, fields: int, size_px: int, seed: int) -> None:
    platemap.drop(columns=["row", "col"]).to_csv(folder / "platemap.csv", index=False)
    for index, well in enumerate(platemap.itertuples(index=False)):
        phenotype = PHENOTYPES[str(well.condition)]
        name = f"r{well.row:02d}c{well.col:02d}"
        _write_well(folder / "Images" / name, phenotype, np.random.default_rng([seed, index]), fields, size_px)


def _write_well(stem: Path, phenotype: Phenotype, rng: np.random.Generator, fields: int, size_px: int) -> None:
    import tifffile

    density, stain = rng.lognormal(0, 0.35), rng.lognormal(0, 0.15)
    for field in range(1, fields + 1):
        planes = draw_field(rng, phenotype, size_px=size_px, density=density, stain=stain)
        for channel, plane in enumerate(planes, start=1):
            path = stem.with_name(f"{stem.name}f{field:02d}p01-ch{channel}sk1fk1fl1.tiff")
            tifffile.imwrite(path, plane, metadata=None)
