"""Engines that compute plain forward passes of classifiers faster than PyTorch does operation by operation."""

import copy
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models.contract import Network, has_capability
from leigh_mlops.models.fused_network import fuse_network

__all__ = ["ENGINES", "PRECISIONS", "Engine", "build_predictor", "check_engine", "find_obstacle"]

PRECISIONS = ("fp32", "bf16")
Encoder = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """Way to compute plain forward passes.

    Attributes:
        name: One of ``ENGINES``.
        precision: One of ``PRECISIONS``.
    """

    name: str = "torch"
    precision: str = "fp32"


def build_predictor(model: Network, engine: Engine) -> Network:
    """Let an engine compute the latents of a network; logits follow from them as before.

    Returns:
        A network that shares all modules with ``model`` and has no gradients; ``model`` itself for PyTorch in fp32.
        An engine other than ``torch`` has the weights of now.

    Raises:
        LeighError: Engine or precision are unknown, the network does not fit them, or the engine is not installed.
    """
    check_engine(model, engine)
    if engine == Engine():
        return model
    predictor = copy.copy(model)
    predictor.__dict__["encode"] = ENGINES[engine.name](model, engine.precision)
    return predictor


def check_engine(model: Network, engine: Engine) -> None:
    """Refuse an engine that can't compute a network.

    Raises:
        LeighError: Engine or precision are unknown, the network does not fit them, or the engine is not installed.
    """
    for what, value, known in (("engine", engine.name, tuple(ENGINES)), ("precision", engine.precision, PRECISIONS)):
        if value not in known:
            raise LeighError(f"--{what} {value!r} is unknown; choose {', '.join(known[:-1])} or {known[-1]}.")
    if obstacle := find_obstacle(model, engine):
        raise LeighError(f"--engine {engine.name} --precision {engine.precision} {obstacle}")


def find_obstacle(model: Network, engine: Engine) -> str:
    """Reason why an engine can't compute a network, as the end of a sentence; empty if it can."""
    if engine == Engine():
        return ""
    if has_capability(model, "decode") or not has_capability(model, "classify"):
        return (
            f"is for networks that classify alone, and a network of the family {model.spec.family} also decodes its "
            "latents, for which they must be exact; leave both options out."
        )
    if engine.name == "openvino" and importlib.util.find_spec("openvino") is None:
        return "needs OpenVINO, which is not installed; install leigh_mlops[openvino], or take another engine."
    return ""


def _torch_encoder(model: Network, precision: str) -> Encoder:
    """Operation by operation; a product of bf16 is summed in fp32."""

    def encode(images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
            return model.encode(images).float()

    return encode


def _fused_encoder(model: Network, precision: str) -> Encoder:
    """Convolutions with the normalisations, sums and ReLUs after them, which saves passes over memory."""
    fused = fuse_network(_EncoderModule(model))
    if fused is None:
        return _torch_encoder(model, precision)
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    fused.to(kind)

    def encode(images: Tensor) -> Tensor:
        return cast(Tensor, fused(images.to(kind, memory_format=torch.channels_last))).float()

    return encode


def _openvino_encoder(model: Network, precision: str) -> Encoder:
    """OpenVINO's graph of the network for the processor, also where the rest is on a GPU."""
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    spec = model.spec
    example = next(model.parameters()).new_zeros(1, spec.channels, spec.image_size, spec.image_size)
    # openvino.convert_model does the same, but reports its use over the network where openvino-telemetry is installed.
    frontend = FrontEndManager().load_by_framework("pytorch")
    hints: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of PyTorch's tracer, which OpenVINO uses
            decoder = TorchScriptPythonDecoder(_EncoderModule(model).eval(), example_input=example)
            graph = frontend.convert(frontend.load(decoder))
        graph.reshape({graph.inputs[0]: openvino.PartialShape([-1, *example.shape[1:]])})
        compiled = openvino.Core().compile_model(graph, "CPU", hints)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise LeighError(f"OpenVINO can't compute this network ({reason}); take another --engine.") from None

    def encode(images: Tensor) -> Tensor:
        found = compiled(np.ascontiguousarray(images.cpu().numpy(), dtype=np.float32))[0]
        return torch.from_numpy(found.copy()).to(images.device)

    return encode


class _EncoderModule(nn.Module):
    """The part of a network from images to latents."""

    def __init__(self, model: Network) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        return self.model.encode(images)


ENGINES: dict[str, Callable[[Network, str], Encoder]] = {
    "torch": _torch_encoder,
    "fused": _fused_encoder,
    "openvino": _openvino_encoder,
}
"""Encoder of a network in a precision, by the name of the engine."""
