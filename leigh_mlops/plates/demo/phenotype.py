"""Phenotypes: what sets the classes of drawn cultures apart."""

from dataclasses import asdict, dataclass, fields

__all__ = ["COMPOUNDS", "EFFECTS", "PHENOTYPES", "CellTraits", "CompoundEffect", "Phenotype"]


@dataclass(frozen=True)
class CellTraits:
    """Traits of a class that change cells and nuclei, not mitochondria alone.

    Attributes:
        nucleus: Size of the nuclei of living cells, relative to healthy cells.
        remaining: Share of the cells that are left, above 0 to 1.
        death: Share of those left that died: their nuclei are small and bright, and their mitochondria dark.
    """

    nucleus: float = 1.0
    remaining: float = 1.0
    death: float = 0.0


@dataclass(frozen=True)
class Phenotype:
    """Traits that set a class apart.

    Attributes:
        tmrm: Brightness of the mitochondria, relative to healthy cells.
        filament: Length of a mitochondrion, relative to healthy cells; their total length and
            light stay the same.
        haze: Share of TMRM that lies diffuse in the cell instead of in mitochondria.
        reach: Distance of mitochondria from their place beside the nucleus, relative to healthy cells.
        thickness: Of a mitochondrion, relative to healthy cells; the total light stays the same.
        roundness: Of the mitochondria around a nucleus, 0 for threads to 1 for spheres.
        neurites: Mitochondria in neurites, as a share of those of healthy cells, 0 to 1.
        cells: Traits of the cells and nuclei.
    """

    tmrm: float
    filament: float
    haze: float
    reach: float = 1.0
    thickness: float = 1.0
    roundness: float = 0.0
    neurites: float = 1.0
    cells: CellTraits = CellTraits()

    def to_json(self) -> dict[str, object]:
        """The attributes by name, without those that are as in healthy cells by default."""
        values = asdict(self)
        return {each.name: values[each.name] for each in fields(self) if getattr(self, each.name) != each.default}


PHENOTYPES = {
    "WT": Phenotype(tmrm=1.0, filament=1.0, haze=0.10),
    "DS": Phenotype(tmrm=0.65, filament=0.3, haze=0.15),
    "TT": Phenotype(tmrm=0.18, filament=0.5, haze=0.60),
    "perinuclear": Phenotype(tmrm=1.0, filament=1.0, haze=0.10, reach=0.45, neurites=0.1),
    "polyploid": Phenotype(tmrm=1.0, filament=1.0, haze=0.10, cells=CellTraits(nucleus=1.8, remaining=0.45)),
    "apoptotic": Phenotype(tmrm=0.8, filament=0.5, haze=0.20, cells=CellTraits(death=0.6)),
    "swollen": Phenotype(tmrm=0.8, filament=0.6, haze=0.10, thickness=1.6, roundness=0.9, neurites=0.3),
    "hyperpolarised": Phenotype(tmrm=1.9, filament=1.0, haze=0.05),
}
"""Classes by name; the first three are those of the group that the plates imitate."""

EFFECTS = {
    "both": PHENOTYPES,
    "intensity": {
        "WT": Phenotype(tmrm=1.0, filament=1.0, haze=0.10),
        "DS": Phenotype(tmrm=0.65, filament=1.0, haze=0.10),
        "TT": Phenotype(tmrm=0.18, filament=1.0, haze=0.10),
    },
    # The same light in other shapes: one dose breaks mitochondria, the other makes them fuse.
    "morphology": {
        "WT": Phenotype(tmrm=1.0, filament=0.5, haze=0.10),
        "DS": Phenotype(tmrm=1.0, filament=0.15, haze=0.10),
        "TT": Phenotype(tmrm=1.0, filament=1.0, haze=0.10),
    },
}
"""Differences between the classes, by the name of the effect: TMRM's brightness, the mitochondria's shape, or both."""


@dataclass(frozen=True)
class CompoundEffect:
    """Effect of a compound on the cells of a patient.

    Attributes:
        phenotype: Class whose mitochondria the surviving cells have.
        density: Cells that survive, as a share of those without the compound.
        nucleus: Size of the nuclei, relative to those without the compound.
    """

    phenotype: str
    density: float = 1.0
    nucleus: float = 1.0


COMPOUNDS = {
    "inert": CompoundEffect("DS"),
    "rescuer": CompoundEffect("WT"),
    # The few cells that survive look healthy, so that a score by the mean cell takes it for a rescue.
    "toxic": CompoundEffect("WT", density=0.12),
    "swelling": CompoundEffect("WT", nucleus=1.8),
}
"""Compounds of a drawn screen, by name."""
