"""Independent classifiers by which counterfactuals of another network are judged."""

from leigh_mlops.models.oracles.oracle_fitting import fit_panel
from leigh_mlops.models.oracles.oracle_panel import ORACLES, OraclePanel

__all__ = ["ORACLES", "OraclePanel", "fit_panel"]
