"""Networks by family, baselines without a network, and their files."""

from leigh_mlops.models.baseline import Baseline, fit_baseline
from leigh_mlops.models.contract import Learner, ModelSpec, Network, has_capability
from leigh_mlops.models.families import MODELS, build_model
from leigh_mlops.models.imagenet import fetch_imagenet_weights, load_imagenet_weights
from leigh_mlops.models.invertible import InverseError
from leigh_mlops.models.iresnet import Inversion
from leigh_mlops.models.package import ModelPackage, load_package, load_to_device, save_package
from leigh_mlops.models.pca import PCABaseline, fit_pca
from leigh_mlops.models.weights import InitialisationReport, initialise, load_model, save_model

__all__ = [
    "MODELS",
    "build_model",
    "has_capability",
    "ModelSpec",
    "Learner",
    "Network",
    "Inversion",
    "InverseError",
    "save_model",
    "load_model",
    "ModelPackage",
    "save_package",
    "load_package",
    "load_to_device",
    "initialise",
    "InitialisationReport",
    "fetch_imagenet_weights",
    "load_imagenet_weights",
    "Baseline",
    "fit_baseline",
    "PCABaseline",
    "fit_pca",
]
