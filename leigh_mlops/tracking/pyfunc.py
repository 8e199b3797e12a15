"""Model packages behind MLflow's own interface."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from mlflow.models import ModelSignature
from mlflow.pyfunc import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec

from leigh_mlops.images import IntensityScale
from leigh_mlops.job_columns import GAIN, OFFSET, PROBABILITY, JobColumn
from leigh_mlops.models import ModelPackage, load_package

__all__ = ["LOADER", "PACKAGE", "PackagedNetwork", "Predictor", "ServedPackage", "package_signature"]

PACKAGE = "package"
"""Name of the artifact that holds a package."""

# MLflow executes this file when it loads a model from code; it only calls installed code.
LOADER = """import mlflow
from leigh_mlops.api.served_model import ServedModel
from leigh_mlops.tracking import ServedPackage

mlflow.models.set_model(ServedPackage(ServedModel))
"""


_PARAMETERS = {
    "controls": ParamSpec("controls", DataType.long, [], (-1,)),
    "adjustment": ParamSpec("adjustment", DataType.double, [], (-1,)),
    "pixel_size_um": ParamSpec("pixel_size_um", DataType.double, 0.0),
}
"""Parameters of a request by name."""


class Predictor(Protocol):
    """Model that answers requests; see `leigh_mlops.api.served_model.ServedModel`."""

    def answer(
        self,
        images: Iterable[npt.ArrayLike],
        controls: Sequence[int] = (),
        adjustment: Sequence[float] = (),
        pixel_size_um: float = 0.0,
    ) -> Any:  # noqa: ANN401
        """Answer a request."""


class ServedPackage(PythonModel):  # type: ignore[misc]
    """A model package behind MLflow's own interface: raw counts of fields in, predictions by class name out.

    Args:
        build: Builds the predictor from the folder of a package.
    """

    predictor: Predictor

    def __init__(self, build: Callable[[Path], Predictor]) -> None:
        self._build = build

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Build the predictor from the package with the installed code."""
        self.predictor = self._build(Path(context.artifacts[PACKAGE]))

    # MLflow would take a more precise type hint as a schema, and warns if there is none.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ANN401
        """Answer a request; the parameters are for a model that needs controls or the pixel size."""
        asked = params or {}
        given = {name: asked[name] for name in _PARAMETERS if name in asked}
        return self.predictor.answer(model_input, **given)


class PackagedNetwork(PythonModel):  # type: ignore[misc]
    """A package that was logged by version 0.1.0: fields at the network's size in, arrays of probabilities out."""

    def load_context(self, context: Any) -> None:  # noqa: ANN401
        """Build the network from the package's weights with the installed code."""
        self.package = load_package(Path(context.artifacts[PACKAGE]))
        self.scale = IntensityScale.from_json(self.package.scale)

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ANN401
        """Predict class probabilities (N, K), or raw reconstructions (N, C, H, W), of raw intensities (N, C, H, W)."""
        import torch

        with torch.no_grad():
            output = self.package.model(torch.from_numpy(self.scale.apply(np.asarray(model_input, np.float32))))
        if self.package.model.task == "classify":
            return output.softmax(1).numpy()
        return self.scale.invert(output.numpy())


def package_signature(package: ModelPackage) -> ModelSignature:
    """Signature of a package behind MLflow's interface, see `leigh_mlops.api.served_model.ServedModel.answer`.

    Counts are float32, which holds those of 16 bits exactly: from a request, MLflow would cut off the decimals of
    normalised intensities without a word if they were whole numbers.
    """
    spec, by_controls = package.model.spec, package.scale.get("controls") is not None
    images = TensorSpec(np.dtype(np.float32), (-1, spec.channels, -1, -1))
    if package.model.task == "reconstruct":
        answer = [TensorSpec(np.dtype(np.float32), (-1, spec.channels, spec.image_size, spec.image_size))]
    else:
        doubles = list(map(PROBABILITY, spec.classes))
        levels = [family(name) for family in (OFFSET, GAIN) for name in package.channels] if by_controls else []
        answer = [ColSpec(DataType.string, JobColumn.PREDICTED)]
        answer += [ColSpec(DataType.double, name) for name in doubles]
        answer += [ColSpec(DataType.boolean, JobColumn.SEEN)]
        answer += [ColSpec(DataType.double, name) for name in levels]
    return ModelSignature(inputs=Schema([images]), outputs=Schema(answer), params=_parameters(package))


def _parameters(package: ModelPackage) -> ParamSchema | None:
    by_controls = package.scale.get("controls") is not None
    is_needed = {
        "controls": by_controls or package.is_adapted,
        "adjustment": by_controls and not package.is_adapted,
        "pixel_size_um": package.field_width_um is not None,
    }
    needed = [_PARAMETERS[name] for name in _PARAMETERS if is_needed[name]]
    return ParamSchema(needed) if needed else None
