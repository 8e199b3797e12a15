"""Steps of a training that ends by time, and the batches of one."""

import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

BATCH = 16


def one_of_two(label: int, count: int) -> Tensor:
    """Condition of so many fields that lead to a class, shape (N, 2)."""
    return F.one_hot(torch.full((count,), label), 2).float()


def turned_batch(fields: Tensor) -> Tensor:
    """Random fields in one random orientation."""
    some = fields[torch.randperm(len(fields))[:BATCH]]
    number = int(torch.randint(8, ()))
    turned = torch.rot90(some, number % 4, (2, 3))
    return turned.flip(3) if number >= 4 else turned


def steps(minutes: float) -> Iterator[tuple[int, float]]:
    """Number of each step, and the share of the processor time that is left."""
    begin, number = time.process_time(), 0
    while (left := 1 - (time.process_time() - begin) / (60 * minutes)) > 0:
        yield number, left
        number += 1
    print(f"{number} steps in {minutes:g} minutes", flush=True)


def average(mean: dict[str, Tensor], network: nn.Module, number: int) -> None:
    """Move the mean of a network's weights towards its weights."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            mean[name].lerp_(value, 1 - min(0.998, (number + 1) / (number + 10)))


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step with gradients of at most 1."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], 1.0)
    optimizer.step()
