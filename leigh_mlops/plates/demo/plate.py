"""Demo plates: drawn cultures in the files that an Opera Phenix would write."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.demo.demo_wells import DemoField, demo_fields, demo_platemap, demo_wells
from leigh_mlops.plates.demo.design import DemoDesign
from leigh_mlops.plates.demo.index import CHANNELS, file_name, write_index
from leigh_mlops.plates.demo.microscope import draw_classes
from leigh_mlops.plates.demo.optics import uneven_illumination
from leigh_mlops.plates.spreadsheet_text import write_csv

__all__ = ["flawed_fields", "is_demo", "find_twins", "write_demo_plate"]

_MAKER = "leigh_mlops demo plate"
_TWINS = ".twins"  # hidden: a search for images must not take them for fields of the plate
_ILLUMINATION = "Illumination"
_THREADED_SIZE_PX = 1024  # below, threads mostly wait for Python's interpreter lock
_MAX_WORKERS = 4  # each holds about twenty planes of a field


def write_demo_plate(
    out: str | os.PathLike[str],
    design: DemoDesign | None = None,
    *,
    twins: bool = False,
    illumination_images: bool = False,
    workers: int | None = None,
    progress: Callable[[], None] | None = None,
    **options: Any,  # noqa: ANN401 - the attributes of DemoDesign
) -> Path:
    """Write one plate of drawn cultures, or several.

    ``Images/`` holds one 16-bit TIFF per field and channel (1 DAPI, 2 TMRM), named as Harmony
    does, and its ``Index.idx.xml``; where there are several plates, each has a folder
    (``plate1/Images/``). ``platemap.csv`` describes each well. ``truth.json`` records that
    all is drawn, what sets the classes apart, and which fields are flawed. Classes alternate by
    column, so that no smooth effect of the position explains them, and DS and TT come from the
    same donors, unless a confounder is asked for. The folder is written completely or not at all.

    Args:
        out: Folder to write; an earlier demo plate there is replaced.
        design: Contents of the plates.
        twins: Write, too, how each field would look in each class (see :func:`find_twins`).
        illumination_images: Write, too, the illumination that the images were made with, as
            ``Illumination/IllumDAPI.npy`` and ``IllumTMRM.npy``, shape (S, S), float32.
        workers: Threads that draw; by default up to four for images from 1024 px on. The files do
            not depend on it.
        progress: Called after each field.
        **options: Single attributes of the design, such as ``classes``, ``wells_per_class``,
            ``fields_per_well``, ``image_size_px`` and ``seed``.

    Returns:
        The folder.

    Raises:
        LeighError: A value out of bounds, or a folder that holds anything else.
    """
    out, plan = Path(out), replace(design or DemoDesign(), **options)
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not is_demo(out)):
        raise LeighError(f"{out} exists and is not a demo plate; choose a new folder.")
    temporary = out.absolute().with_name(f".{out.absolute().name}.{os.getpid()}")
    temporary.mkdir(parents=True)
    try:
        plates = _DemoPlateWriter(temporary, plan, out.absolute().name, twins=twins)
        plates.describe()
        if illumination_images:
            _write_illumination(temporary / _ILLUMINATION, plan)
        plates.draw(workers or _workers(plan.image_size_px), progress or _no_progress)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def is_demo(out: Path) -> bool:
    """Return whether a folder is a plate that :func:`write_demo_plate` wrote."""
    try:
        truth = json.loads((out / "truth.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(truth, dict) and truth.get("made_by") == _MAKER


def find_twins(out: str | os.PathLike[str]) -> dict[str, Path]:
    """Find the folders with the twins of a demo plate: each field as it would look in another class.

    A twin shows the same cells, light and noise; only the phenotype differs. ``out/Images/a.tiff``
    has the twin ``find_twins(out)["WT"] / "Images" / "a.tiff"``: its path below the folder is the same.

    Args:
        out: Folder of the demo plate.

    Returns:
        Class to folder, the field's own class included; empty where no twins were written.
    """
    folder = Path(out) / _TWINS
    return {path.name: path for path in sorted(folder.iterdir())} if folder.is_dir() else {}


def flawed_fields(out: str | os.PathLike[str]) -> pd.DataFrame:
    """Read the fields of a demo plate that are flawed on purpose.

    Args:
        out: Folder of the demo plate.

    Returns:
        One row per flawed field: ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Site`` and
        ``flaw`` (``saturated``, ``out_of_focus``, ``empty`` or ``debris``).

    Raises:
        LeighError: The folder is no demo plate.
    """
    if not is_demo(Path(out)):
        raise LeighError(f"{out} is not a demo plate; choose a folder that synthesize wrote.")
    truth = json.loads((Path(out) / "truth.json").read_text(encoding="utf-8"))
    flawed = pd.DataFrame(truth["flawed_fields"], columns=["plate", "well", "site", "flaw"])
    return flawed.rename(columns={name: f"Metadata_{name.capitalize()}" for name in ("plate", "well", "site")})


class _DemoPlateWriter:
    """Demo plates in the folder where they are written."""

    def __init__(self, folder: Path, design: DemoDesign, name: str, *, twins: bool) -> None:
        self.folder, self.design, self.twins = folder, design, twins
        several = design.plates > 1
        self.names = [f"plate{1 + plate}" for plate in range(design.plates)] if several else [name]
        self.images = [Path(name, "Images") if several else Path("Images") for name in self.names]
        self.wells = demo_wells(design)
        self.fields = demo_fields(design, self.wells)

    def describe(self) -> None:
        """Write everything but pixels."""
        truth = json.dumps(self._truth(), indent=2) + "\n"
        (self.folder / "truth.json").write_text(truth, encoding="utf-8")
        write_csv(demo_platemap(self.design, self.wells, self.names), self.folder / "platemap.csv")
        tops = [Path(), *(Path(_TWINS, name) for name in self.design.classes if self.twins)]
        for number, images in enumerate(self.images):
            for top in tops:
                (self.folder / top / images).mkdir(parents=True)
            fields = [field for field in self.fields if field.well.plate == number]
            index = self.folder / images / "Index.idx.xml"
            write_index(index, self.names[number], self.design.shape, fields, self.design.image_size_px)

    def _truth(self) -> dict[str, object]:
        flawed = [
            {"plate": self.names[field.well.plate], "well": field.well.name, "site": field.site, "flaw": field.flaw}
            for field in self.fields
            if field.flaw
        ]
        return {
            "made_by": _MAKER,
            **asdict(self.design),
            "classes": {name: seen.to_json() for name, seen in self.design.phenotypes.items()},
            "twins": self.twins,
            "flawed_fields": flawed,
        }

    def draw(self, workers: int, progress: Callable[[], None]) -> None:
        """Write all pixels; no more fields are in memory than there are workers."""
        if workers == 1:
            for field in self.fields:
                self._write(field)
                progress()
            return
        waiting = iter(self.fields)
        with ThreadPoolExecutor(workers) as pool:
            going = {pool.submit(self._write, field) for field in islice(waiting, workers)}
            for done in _iterate_done(going):
                done.result()
                progress()
                going |= {pool.submit(self._write, field) for field in islice(waiting, 1)}

    def _write(self, field: DemoField) -> None:
        own, all_seen = field.well.phenotype, self.design.phenotypes
        seen = all_seen if self.twins else {own: all_seen[own]}
        drawn = draw_classes(
            field.make_rng(self.design.seed), seen, field.parameters, size_px=self.design.image_size_px
        )
        images = self.images[field.well.plate]
        _write_planes(self.folder / images, field, drawn[own])
        if self.twins:
            for name, planes in drawn.items():
                _write_planes(self.folder / _TWINS / name / images, field, planes)


def _iterate_done(going: set[Future[None]]) -> Iterator[Future[None]]:
    """Yield finished jobs until none is left; more may be added to the set on the way."""
    while going:
        done, _ = wait(going, return_when=FIRST_COMPLETED)
        going -= done
        yield from done


def _write_planes(folder: Path, field: DemoField, planes: npt.NDArray[np.uint16]) -> None:
    import tifffile

    for channel, plane in enumerate(planes, start=1):
        tifffile.imwrite(folder / file_name(field, channel), plane, metadata=None)


def _write_illumination(folder: Path, design: DemoDesign) -> None:
    folder.mkdir()
    for channel in CHANNELS:
        np.save(folder / f"Illum{channel}.npy", uneven_illumination(design.image_size_px, design.illumination))


def _workers(image_size_px: int) -> int:
    return min(_MAX_WORKERS, os.cpu_count() or 1) if image_size_px >= _THREADED_SIZE_PX else 1


def _no_progress() -> None:
    pass
