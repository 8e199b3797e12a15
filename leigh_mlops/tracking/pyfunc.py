"""Model packages behind MLflow's own interface."""

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.pyfunc import PythonModel

from leigh_mlops.images import IntensityScale
from leigh_mlops.models import load_package

__all__ = ["LOADER", "PACKAGE", "PackagedNetwork"]

PACKAGE = "package"
"""Name of the artifact that holds a package."""

# MLflow executes this file when it loads a model from code; it only calls installed code.
LOADER = "import mlflow\nfrom leigh_mlops.tracking import PackagedNetwork\nmlflow.models.set_model(PackagedNetwork())\n"


class PackagedNetwork(PythonModel):  # type: ignore[misc]
    """A model package behind MLflow's own interface: raw intensities in, probabilities or images out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Build the network from the package's weights with the installed code."""
        self.package = load_package(Path(context.artifacts[PACKAGE]))
        self.scale = IntensityScale.from_json(self.package.scale)

    # MLflow would take a more precise type hint as a schema, and warns if there is none.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ANN401
        """Predict class probabilities (N, K), or raw reconstructions (N, C, H, W), of raw intensities (N, C, H, W)."""
        import torch

        with torch.no_grad():
            output = self.package.model(torch.from_numpy(self.scale.apply(np.asarray(model_input, np.float32))))
        if self.package.model.task == "classify":
            return output.softmax(1).numpy()
        return self.scale.invert(output.numpy())
