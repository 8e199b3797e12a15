"""The design of demo plates: how many wells, which classes, and which effects besides the class."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.demo.microscope import FLAWS, ILLUMINATION
from leigh_mlops.plates.demo.phenotype import COMPOUNDS, EFFECTS, PHENOTYPES, Phenotype
from leigh_mlops.plates.layout import PLATE_SHAPES

__all__ = ["CONFOUNDERS", "MIN_UNTREATED", "DemoDesign", "first_classes"]

CONFOUNDERS = ("none", "position", "background", "plate", "donor", "density", "focus", "stamp")
MIN_UNTREATED = 2
"""Fewest wells of patients without a compound, which are the controls of a screen."""
_MOST_IN_COLUMNS = 3


def first_classes(count: int) -> tuple[str, ...]:
    """Names of the first classes of `PHENOTYPES`.

    Args:
        count: How many.

    Raises:
        LeighError: There are fewer.
    """
    if not 1 <= count <= len(PHENOTYPES):
        raise LeighError(
            f"{count} classes can't be drawn, since there are {len(PHENOTYPES)} ({', '.join(PHENOTYPES)}); choose 1 to "
            f"{len(PHENOTYPES)}."
        )
    return tuple(PHENOTYPES)[:count]


@dataclass(frozen=True, kw_only=True)
class DemoDesign:
    """Contents of demo plates; together with the seed they determine every pixel.

    Attributes:
        classes: Some of `PHENOTYPES`, such as ``WT`` (healthy), ``DS`` (dimmer and fragmented mitochondria) and
            ``TT`` (nearly no potential). Up to three alternate by column; more stand in wells drawn at random.
        wells_per_class: Wells of each class on each plate, 1 to 400.
        fields_per_well: Fields of each well, 1 to 99.
        image_size_px: Side of an image, 16 to 4096.
        seed: The same seed draws the same plates.
        wells: 96 or 384 for full plates, edges included; ``wells_per_class`` is then ignored.
        plates: Plates, 1 to 99.
        effect: Difference between the classes in TMRM: ``intensity``, ``morphology`` (of the
            mitochondria, with the same total light) or ``both``.
        confounder: Second difference between the classes: ``none``, ``position`` (classes stand in
            blocks), ``background`` (it is brighter in one class), ``plate`` (each plate holds one
            class), ``donor`` (classes have their own donors, whose nuclei differ in size), ``density`` (one
            class has more cells), ``focus`` (one class is imaged a little above the cells) or ``stamp`` (a scale
            bar is burnt into a corner of all classes but the first).
        plate_effect: How much plates, rows, columns and edges differ in staining and exposure, as a
            relative standard deviation, 0 to 1.
        plate_shift: How much plates differ in gain, offset, focus and density of the cells, 0 to 1, at which gains
            differ by a factor of up to 4.
        illumination: Share of the light that is lacking in a corner of an image, 0 to 0.8.
        saturated: Share of fields that were exposed too long, 0 to 1.
        out_of_focus: Share of fields that are out of focus, 0 to 1.
        empty: Share of fields without cells, 0 to 1.
        debris: Share of fields with bright debris, 0 to 1.
        compounds: Compounds that are added to wells of ``DS``, some of ``COMPOUNDS``; needs ``DS`` and ``WT``.
        wells_per_compound: Wells of each compound on each plate, 1 to 400.

    Raises:
        LeighError: A value is out of bounds or does not go with another.
    """

    classes: Sequence[str] = ("DS", "TT")
    wells_per_class: int = 18
    fields_per_well: int = 3
    image_size_px: int = 128
    seed: int = 0
    wells: int | None = None
    plates: int = 1
    effect: str = "both"
    confounder: str = "none"
    plate_effect: float = 0.05
    plate_shift: float = 0.0
    illumination: float = ILLUMINATION
    saturated: float = 0.0
    out_of_focus: float = 0.0
    empty: float = 0.0
    debris: float = 0.0
    compounds: Sequence[str] = ()
    wells_per_compound: int = 4

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(self.classes))
        object.__setattr__(self, "compounds", tuple(self.compounds))
        self._check_classes()
        self._check_bounds()
        self._check_compounds()
        if self.confounder == "plate" and self.plates < max(2, len(self.classes)):
            needed = max(2, len(self.classes))
            raise LeighError(f"{needed} classes need {needed} plates, one for each, not {self.plates}; add plates.")
        if sum(self.flaws.values()) > 1 + 1e-9:
            shares = ", ".join(f"{name} {share:g}" for name, share in self.flaws.items() if share)
            raise LeighError(f"the shares of flawed fields ({shares}) add up to more than 1; reduce them.")
        _ = self.grid  # says whether a plate has room

    def _check_classes(self) -> None:
        known = EFFECTS.get(self.effect, PHENOTYPES)
        if set(self.classes) - set(known) or not self.classes or len(set(self.classes)) < len(self.classes):
            given = ",".join(self.classes) or "none"
            hint = "" if known is PHENOTYPES else ", or leave the effect 'both'"
            raise LeighError(
                f"classes {given} are unknown or repeated; choose different ones from {', '.join(known)}{hint}."
            )
        if self.confounder != "none" and len(self.classes) < 2:
            raise LeighError(f"the confounder {self.confounder!r} needs at least two classes; add one.")

    def _check_bounds(self) -> None:
        bounds = {
            "wells per class": (self.wells_per_class, 1, 400),
            "fields": (self.fields_per_well, 1, 99),
            "image size": (self.image_size_px, 16, 4096),
            "seed": (self.seed, 0, 2**63),
            "plates": (self.plates, 1, 99),
            "wells per compound": (self.wells_per_compound, 1, 400),
            "plate effect": (self.plate_effect, 0, 1),
            "plate shift": (self.plate_shift, 0, 1),
            "illumination": (self.illumination, 0, 0.8),
        } | {name.replace("_", " "): (share, 0, 1) for name, share in self.flaws.items()}
        for name, (value, low, high) in bounds.items():
            if not low <= value <= high:
                raise LeighError(f"{name} {value} is out of bounds; choose {low} to {high}.")
        choices = {
            "wells": (self.wells, (None, 96, 384)),
            "effect": (self.effect, tuple(EFFECTS)),
            "confounder": (self.confounder, CONFOUNDERS),
        }
        for name, (choice, known) in choices.items():
            if choice not in known:
                names = ", ".join(str(one) for one in known if one is not None)
                raise LeighError(f"{name} {choice} is unknown; choose one of {names}.")

    def _check_compounds(self) -> None:
        if set(self.compounds) - set(COMPOUNDS) or len(set(self.compounds)) < len(self.compounds):
            given, known = ",".join(self.compounds), ", ".join(COMPOUNDS)
            raise LeighError(f"compounds {given} are unknown or repeated; choose different ones from {known}.")
        if self.compounds and not {"DS", "WT"} <= set(self.classes):
            raise LeighError(f"compounds need the classes DS and WT, not {','.join(self.classes)}; add them.")
        patients = self.wells_per_plate // len(self.classes)
        if self.compounds and patients < len(self.compounds) * self.wells_per_compound + MIN_UNTREATED:
            raise LeighError(
                f"{len(self.compounds)} compounds in {self.wells_per_compound} wells each leave fewer than "
                f"{MIN_UNTREATED} of {patients} wells of DS untreated; add wells, or take fewer per compound."
            )

    @property
    def phenotypes(self) -> Mapping[str, Phenotype]:
        """Phenotype of each class."""
        return {name: EFFECTS[self.effect][name] for name in self.classes}

    @property
    def is_drawn_by_lot(self) -> bool:
        """Return whether chance places the classes, since many of them would each have few columns."""
        return len(self.classes) > _MOST_IN_COLUMNS and self.confounder not in ("position", "plate")

    @property
    def flaws(self) -> dict[str, float]:
        """Share of the fields with each flaw."""
        return dict(zip(FLAWS, (self.saturated, self.out_of_focus, self.empty, self.debris), strict=True))

    @property
    def wells_per_plate(self) -> int:
        """Wells with cells on each plate."""
        return self.wells or len(self.classes) * self.wells_per_class

    @property
    def field_count(self) -> int:
        """Fields on all plates together."""
        return self.plates * self.wells_per_plate * self.fields_per_well

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the plates."""
        return self.grid[0]

    @property
    def grid(self) -> tuple[tuple[int, int], int, int]:
        """The plate's rows and columns, its first row and column with cells, and how many columns have some.

        Without ``wells`` it is the smallest plate from 96 wells up, whose edge stays empty.

        Raises:
            LeighError: No plate has so many wells.
        """
        if self.wells is not None:
            return PLATE_SHAPES[self.wells], 1, PLATE_SHAPES[self.wells][1]
        for size in (96, 384, 1536):
            rows, cols = PLATE_SHAPES[size]
            turn = 1 if self.is_drawn_by_lot else len(self.classes)
            usable = (cols - 2) // turn * turn
            if usable * (rows - 2) >= self.wells_per_plate:
                return (rows, cols), 2, usable
        raise LeighError(f"{self.wells_per_plate} wells fit on no plate; choose fewer wells per class.")
