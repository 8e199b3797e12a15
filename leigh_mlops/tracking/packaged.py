"""Model packages behind MLflow's own interface."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.pyfunc import PythonModel

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import load_package

__all__ = ["LOADER", "PACKAGE", "PackagedNetwork"]

PACKAGE = "package"
"""Name of the artifact that holds one."""

# Models from code execute this file when MLflow itself loads them; it only calls what is installed.
LOADER = "import mlflow\nfrom leigh_mlops.tracking import PackagedNetwork\nmlflow.models.set_model(PackagedNetwork())\n"


class PackagedNetwork(PythonModel):  # type: ignore[misc]
    """A model package behind MLflow's own interface: raw intensities in, probabilities or images out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Build the network from the package's weights with the installed code."""
        self.package = load_package(Path(context.artifacts[PACKAGE]))
        self.scale = IntensityScale.from_json(self.package.scale)

    # MLflow takes a more precise type hint for a schema, and warns of none.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ANN401
        """Raw intensities (N, C, H, W) to class probabilities (N, K), or to raw reconstructions (N, C, H, W)."""
        import torch

        with torch.no_grad():
            output = self.package.model(torch.from_numpy(self.scale.apply(np.asarray(model_input, np.float32))))
        if self.package.model.task == "classify":
            return output.softmax(1).numpy()
        return self.scale.invert(output.numpy())
