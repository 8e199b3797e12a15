"""Wells of demo plates: positions, contents and imaging parameters."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from leigh_mlops.plates.demo.design import DemoDesign
from leigh_mlops.plates.demo.microscope import FieldParameters
from leigh_mlops.plates.demo.phenotype import COMPOUNDS, PHENOTYPES
from leigh_mlops.plates.names import well_name

__all__ = ["DemoField", "DemoWell", "demo_fields", "demo_platemap", "demo_wells"]

PLATES_PER_BATCH = 2
_DONORS_PER_CLASS = 2
_BACKGROUND_COUNTS = 60.0  # between the classes, where the background is confounded
_LOG_GAIN, _OFFSET_COUNTS, _BLUR, _LOG_DENSITY = math.log(2), 150.0, 0.012, math.log(1.6)
"""Largest differences between plates: gain and density as factors either way, blur as a share of the side."""
_DENSITY_FACTOR = 4.0  # of the cells of neighbouring classes, where the density is confounded
_DEFOCUS_STEP = 0.02  # the same for the radius of the blur, as a share of the side
_NUCLEUS_STEP = 0.2  # the same for the donors' nuclei

# Random streams: what one well or field draws does not change the others.
_PLATE, _WELL, _FIELD, _FLAWS, _SHIFT, _COMPOUND, _PLACES = range(7)


@dataclass(frozen=True)
class DemoWell:
    """A well with cells.

    Attributes:
        plate: Number of the plate, from 0.
        number: Number of the well on its plate, from 0.
        row: From 1.
        col: From 1.
        condition: Class.
        donor: Donor of the cells.
        parameters: Parameters of its fields.
        compound: Compound that was added, one of ``COMPOUNDS``; empty for none.
    """

    plate: int
    number: int
    row: int
    col: int
    condition: str
    donor: str
    parameters: FieldParameters
    compound: str = ""

    @property
    def phenotype(self) -> str:
        """Class that the cells look like."""
        return COMPOUNDS[self.compound].phenotype if self.compound else self.condition

    @property
    def name(self) -> str:
        """Name of the well, such as ``B03``."""
        return well_name(self.row, self.col)


@dataclass(frozen=True)
class DemoField:
    """A field of a well.

    Attributes:
        well: Its well.
        site: From 1.
        flaw: Its flaw, or empty.
    """

    well: DemoWell
    site: int
    flaw: str

    def make_rng(self, seed: int) -> np.random.Generator:
        """Create the random generator of this field."""
        return _make_rng(seed, _FIELD, self.well.plate, self.well.number, self.site)

    @property
    def parameters(self) -> FieldParameters:
        """Parameters of the field, its flaw included."""
        return replace(self.well.parameters, flaw=self.flaw)


def _make_rng(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def demo_fields(design: DemoDesign, wells: list[DemoWell]) -> list[DemoField]:
    """All fields of some wells; the flawed ones are drawn among all of them."""
    places = [(well, site) for well in wells for site in range(1, design.fields_per_well + 1)]
    flaws = [name for name, share in design.flaws.items() for _ in range(round(share * len(places)))]
    flaws = (flaws + [""] * len(places))[: len(places)]
    order = _make_rng(design.seed, _FLAWS).permutation(len(places))
    return [DemoField(well, site, flaws[place]) for (well, site), place in zip(places, order, strict=True)]


def demo_wells(design: DemoDesign) -> list[DemoWell]:
    """The wells of all plates, plate after plate."""
    return [well for plate in range(design.plates) for well in _treat(list(_plate_wells(design, plate)), design, plate)]


def _treat(wells: list[DemoWell], design: DemoDesign, plate: int) -> list[DemoWell]:
    """Add compounds to wells of patients that are drawn at random."""
    patients = [number for number, well in enumerate(wells) if well.condition == "DS"]
    order = _make_rng(design.seed, _COMPOUND, plate).permutation(patients)
    given = [name for name in design.compounds for _ in range(design.wells_per_compound)]
    for number, compound in zip(order, given, strict=False):
        well, effect = wells[number], COMPOUNDS[compound]
        seen = well.parameters
        changed = replace(seen, density=seen.density * effect.density, nucleus=seen.nucleus * effect.nucleus)
        wells[number] = replace(well, compound=compound, parameters=changed)
    return wells


def _plate_wells(design: DemoDesign, plate: int) -> Iterator[DemoWell]:
    chance = _make_rng(design.seed, _PLATE, plate)
    stain, *exposure = np.exp(design.plate_effect * chance.normal(size=3)).tolist()
    slopes = chance.uniform(-1, 1, size=2)
    shift = _draw_shift(design, plate)
    rows, cols = design.shape
    for number, (row, col, condition) in enumerate(_places(design, plate)):
        chance = _make_rng(design.seed, _WELL, plate, number)
        rank = design.classes.index(condition) - (len(design.classes) - 1) / 2
        slope = slopes @ [2 * (row - 1) / (rows - 1) - 1, 2 * (col - 1) / (cols - 1) - 1]
        edge = row in (1, rows) or col in (1, cols)  # there, medium evaporates
        yield DemoWell(
            plate,
            number,
            row,
            col,
            condition,
            _donor(design, condition, number),
            FieldParameters(
                density=shift.density
                * chance.lognormal(0, 0.35)
                * _DENSITY_FACTOR ** ((design.confounder == "density") * rank),
                stain=chance.lognormal(0, 0.15) * stain * (1 + design.plate_effect * (slope / 2 + edge / 2)),
                exposure=(exposure[0] * shift.gains[0], exposure[1] * shift.gains[1]),
                illumination=design.illumination,
                background=(design.confounder == "background") * design.classes.index(condition) * _BACKGROUND_COUNTS
                + shift.offset_counts,
                blur=shift.blur + (design.confounder == "focus") * design.classes.index(condition) * _DEFOCUS_STEP,
                nucleus=1 + (design.confounder == "donor") * _NUCLEUS_STEP * rank,
                stamp=design.confounder == "stamp" and design.classes.index(condition) > 0,
            ),
        )


@dataclass(frozen=True)
class _PlateShift:
    """Differences of a plate from the others."""

    gains: tuple[float, float] = (1.0, 1.0)  # of DAPI and TMRM
    offset_counts: float = 0.0
    blur: float = 0.0  # radius of the defocus, share of the side
    density: float = 1.0


def _draw_shift(design: DemoDesign, plate: int) -> _PlateShift:
    dapi, tmrm, offset, blur, density = _make_rng(design.seed, _SHIFT, plate).uniform(-1, 1, size=5).tolist()
    size = design.plate_shift
    return _PlateShift(
        gains=(math.exp(size * _LOG_GAIN * dapi), math.exp(size * _LOG_GAIN * tmrm)),
        offset_counts=size * _OFFSET_COUNTS * (1 + offset) / 2,
        blur=size * _BLUR * (1 + blur) / 2,
        density=math.exp(size * _LOG_DENSITY * density),
    )


def _places(design: DemoDesign, plate: int) -> Iterator[tuple[int, int, str]]:
    """Row, column and class of each well."""
    (rows, _), first, n_cols = design.grid
    n_classes, count = len(design.classes), design.wells_per_plate
    n_rows = rows - 2 * (first - 1)
    lots = _make_rng(design.seed, _PLACES, plate).permutation(count) if design.is_drawn_by_lot else None
    for number in range(count):
        if design.confounder == "position":
            row, col, chosen = number % n_rows, number // n_rows, number * n_classes // count
        else:
            row, col = divmod(number, n_cols)
            # By columns in turn, no smooth effect of the position explains the classes.
            chosen = col if lots is None else int(lots[number])
            if design.confounder == "plate":
                chosen = plate
        yield row + first, col + first, design.classes[chosen % n_classes]


def _donor(design: DemoDesign, condition: str, number: int) -> str:
    kind = "healthy" if condition == "WT" else "patient"
    turn = number // len(design.classes)
    if design.confounder == "donor":
        first = _DONORS_PER_CLASS * design.classes.index(condition)
        return f"{kind}{1 + first + turn % _DONORS_PER_CLASS}"
    return f"{kind}{1 + turn % 3}"


def demo_platemap(design: DemoDesign, wells: list[DemoWell], plate_names: list[str]) -> pd.DataFrame:
    """One row per well: ``plate`` where there are several, ``well_position``, ``condition``, ``control``, ...

    Healthy cells, or else the brightest class, are the negative control, the dimmest class the positive; in a screen,
    patients are the negative control of a rescue, and healthy cells the positive.
    """
    ranked = sorted(design.classes, key=lambda name: PHENOTYPES[name].tmrm)
    healthy = "WT" if "WT" in ranked else ranked[-1]
    control = {ranked[0]: "poscon"} | {healthy: "negcon"}
    if design.compounds:
        control = {"DS": "negcon", "WT": "poscon"}
    platemap = pd.DataFrame(
        {
            "plate": [plate_names[well.plate] for well in wells],
            "well_position": [well.name for well in wells],
            "condition": [well.condition for well in wells],
            "control": ["" if well.compound else control.get(well.condition, "") for well in wells],
            "donor": [well.donor for well in wells],
            "batch": [f"batch{1 + well.plate // PLATES_PER_BATCH}" for well in wells],
        }
    )
    if design.compounds:
        platemap["compound"] = [well.compound for well in wells]
    return platemap if design.plates > 1 else platemap.drop(columns="plate")
