"""Infidelity and sensitivity of maps, by Captum."""

import torch
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn
from torch.nn import functional as F

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.explanations.faithfulness.deletion_insertion import TILES_PER_SIDE
from leigh_mlops.explanations.faithfulness.evaluated_maps import EvaluatedMap

__all__ = ["FAITHFULNESS_METRICS", "check_metrics", "mean_infidelity", "mean_sensitivity"]

FAITHFULNESS_METRICS = ("infidelity", "sensitivity")
"""Metrics that are measured on request only, since they need the maps of further images."""

_SAMPLES = 16
_NEIGHBOURS = 4
_RADIUS = 0.02


def check_metrics(names: tuple[str, ...]) -> None:
    """Refuse names that are none of `FAITHFULNESS_METRICS`.

    Raises:
        LeighError: One is unknown.
    """
    for name in names:
        if name not in FAITHFULNESS_METRICS:
            raise LeighError(f"Unknown metric {name!r}; choose from {', '.join(FAITHFULNESS_METRICS)}.")


def mean_infidelity(model: nn.Module, evaluated_map: EvaluatedMap, images: int, seed: int = 0) -> float:
    """Error of a map as a predictor of the logit's loss where tiles are removed (Yeh et al. 2019, eq. 2).

    Half of the tiles, drawn at random, get the fill values of the subject. The map may be of any
    unit: it is first multiplied by the best factor (as Captum's ``normalize``), so that figures of two
    methods can be compared.

    Args:
        model: The model that is explained.
        evaluated_map: Its maps.
        images: Number of images, from the first.
        seed: Seed of the tiles.

    Returns:
        Mean square over images, in logits squared.
    """
    gone = torch.zeros_like(evaluated_map.images) if evaluated_map.fill is None else evaluated_map.fill
    generator = torch.Generator().manual_seed(seed)
    channels = slice(None) if evaluated_map.channel is None else slice(evaluated_map.channel, evaluated_map.channel + 1)

    def remove(inputs: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        side = min(TILES_PER_SIDE, inputs.shape[-1])
        drawn = (torch.rand(len(inputs), 1, side, side, generator=generator) < 0.5).to(inputs)
        mask = torch.zeros_like(inputs)
        mask[:, channels] = F.interpolate(drawn, inputs.shape[-2:], mode="nearest")
        return mask, torch.where(mask.bool(), gone[place], inputs)

    shares = torch.zeros_like(evaluated_map.images[:images])
    shares[:, channels] = evaluated_map.maps[:images, None] / shares[:, channels].shape[1]
    with evaluating(model):
        found = [
            infidelity(
                model, lambda inputs, p=row: remove(inputs, torch.full((len(inputs),), p)),
                evaluated_map.images[row : row + 1], shares[row : row + 1], target=evaluated_map.target[row : row + 1],
                n_perturb_samples=_SAMPLES, normalize=True,
            )
            for row in range(len(shares))
        ]  # fmt: skip
    return float(torch.cat(found).mean())


def mean_sensitivity(model: nn.Module, evaluated_map: EvaluatedMap, images: int, seed: int = 0) -> float:
    """Largest relative change of a map under tiny changes of the image (Yeh et al. 2019, section 4.1).

    Each scaled intensity is changed by up to 0.02, four times.

    Args:
        model: The model that is explained.
        evaluated_map: Its maps.
        images: Number of images, from the first.
        seed: Seed of the changes.

    Returns:
        Mean over images of the change's norm over that of the map; 0 for a map that does not change.
    """
    devices = [evaluated_map.images.device] if evaluated_map.images.device.type == "cuda" else []
    changes = []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        for row, image in enumerate(torch.split(evaluated_map.images[:images], 1)):

            def explain(inputs: Tensor | tuple[Tensor, ...], row: int = row) -> tuple[Tensor, ...]:
                """Compute maps; Captum passes first a tuple, then a tensor."""
                pixels = inputs[0] if isinstance(inputs, tuple) else inputs
                return (evaluated_map.recompute(model, pixels, [row] * len(pixels)),)

            found: Tensor = sensitivity_max(explain, image, perturb_radius=_RADIUS, n_perturb_samples=_NEIGHBOURS)
            changes.append(float(found))
    return sum(changes) / len(changes)
