"""Phenotypes: what sets the classes of drawn cultures apart."""

from dataclasses import asdict, dataclass

__all__ = ["EFFECTS", "PHENOTYPES", "Phenotype"]


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
