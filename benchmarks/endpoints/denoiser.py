"""Denoising of transported fields by a network that is trained on noisy real ones."""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmarks.endpoints.networks import Network
from benchmarks.endpoints.training import BATCH, average, one_of_two, steps, turned_batch, update
from benchmarks.transport import Floats


def denoise_once(network: Network, noisy: Tensor, noise: Tensor, label: Tensor) -> Tensor:
    """Estimate images of unit spread from noisy ones (preconditioned after Karras et al. 2022)."""
    level, logs = (1 + noise.square()).sqrt()[:, None, None, None], noise.log()[:, None]
    condition = torch.cat([label, logs, torch.sin(2 * logs), torch.cos(2 * logs)], dim=1)
    return noisy / level.square() + noise[:, None, None, None] / level * network(noisy / level, condition)


def train_denoiser(reals: list[Floats], minutes: float) -> Network:
    """Train a network on noisy real fields of both classes; the first of the list are of class 1."""
    fields = [torch.from_numpy(each) for each in reals]
    network = Network(fields[0].shape[1], 5)
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for number, left in steps(minutes):
        images = turned_batch(fields[number % 2])
        noise = torch.exp(torch.empty(BATCH).uniform_(np.log(0.02), np.log(0.8)))
        noisy = images + noise[:, None, None, None] * torch.randn_like(images)
        found = denoise_once(network, noisy, noise, one_of_two(1 - number % 2, BATCH))
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1.0, 2 * left)
        update(optimizer, ((found - images).square().mean((1, 2, 3)) * (1 + noise.square()) / noise.square()).mean())
        average(mean, network, number)
    network.load_state_dict(mean)
    return network.eval()


def denoise(network: Network, source: int, noise: float, count: int, is_added: bool, fields: Floats) -> Floats:
    """Transported fields after some denoising steps towards the class."""
    images, label = torch.from_numpy(fields), one_of_two(1 - source, len(fields))
    added = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    images = images + noise * added * is_added
    levels = (noise * np.linspace(1, 0, count + 1) ** 1.5).tolist()
    with torch.no_grad():
        for level, lower in pairwise(levels):
            estimate = denoise_once(network, images, torch.full((len(images),), level), label)
            images = estimate + lower / level * (images - estimate)
    return images.numpy()
