"""Phenotypes: what sets the classes of drawn cultures apart."""

from dataclasses import asdict, dataclass

__all__ = ["COMPOUNDS", "EFFECTS", "PHENOTYPES", "CompoundEffect", "Phenotype"]


@dataclass(frozen=True)
class Phenotype:
    """Traits that set a class apart.

    Attributes:
        tmrm: Brightness of the mitochondria, relative to healthy cells.
        filament: Length of a mitochondrion, relative to healthy cells; their total length and
            light stay the same.
        haze: Share of TMRM that lies diffuse in the cell instead of in mitochondria.
    """

    tmrm: float
    filament: float
    haze: float

    def to_json(self) -> dict[str, float]:
        """The attributes by name."""
        return asdict(self)


PHENOTYPES = {
    "WT": Phenotype(tmrm=1.0, filament=1.0, haze=0.10),
    "DS": Phenotype(tmrm=0.65, filament=0.3, haze=0.15),
    "TT": Phenotype(tmrm=0.18, filament=0.5, haze=0.60),
}

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
