"""Translation of fields of either class into those of the other, after a transport or in its place."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.endpoints.networks import Discriminator, Network
from benchmarks.endpoints.sliced_distance import sliced_distance
from benchmarks.endpoints.training import BATCH, average, one_of_two, steps, turned_batch, update
from benchmarks.transport import Floats


def train_translator(starts: list[Floats], reals: list[Floats], keep: float, minutes: float) -> Network:
    """Train a network that changes fields of either class into those of the other.

    Args:
        starts: Fields to lead from, by class.
        reals: Real fields of the class to lead to, by the class to lead from.
        keep: Weight of the mean absolute change.
        minutes: Processor time.
    """
    fields, wanted = ([torch.from_numpy(each) for each in group] for group in (starts, reals))
    channels = fields[0].shape[1]
    network, judges = Network(channels, 2), nn.ModuleList(Discriminator(channels) for _ in range(2))
    mean = {name: value.clone() for name, value in network.state_dict().items()}
    ours = torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.99))
    theirs = torch.optim.Adam(judges.parameters(), 4e-4, betas=(0.0, 0.99))
    for number, left in steps(minutes):
        source = number % 2
        begun, real = turned_batch(fields[source]), turned_batch(wanted[source])
        goal = one_of_two(1 - source, BATCH)
        made = begun + network(begun, goal)
        update(theirs, judge_loss(judges[source], made.detach(), real, number % 8 < 2))
        loss = F.softplus(-judges[source](made)).mean() + keep * (made - begun).abs().mean()
        if number % 4 < 2:
            loss = loss + sliced_distance(made, real) + 0.3 * network(real, goal).abs().mean()
        ours.param_groups[0]["lr"] = 1e-3 * min(1.0, 2 * left)
        update(ours, loss)
        average(mean, network, number)
    network.load_state_dict(mean)
    return network.eval()


def judge_loss(judge: nn.Module, made: Tensor, real: Tensor, is_flat: bool) -> Tensor:
    """Logistic loss, some steps with the squared gradient at real fields."""
    real = real.clone().requires_grad_(is_flat)
    scores = judge(real)
    loss = F.softplus(-scores).mean() + F.softplus(judge(made)).mean()
    if is_flat:
        gradient = torch.autograd.grad(scores.sum(), real, create_graph=True)[0]
        loss = loss + gradient.square().sum((1, 2, 3)).mean()
    return loss


def translate(network: Network, source: int, fields: Floats) -> Floats:
    """Fields of a class after the network."""
    with torch.no_grad():
        images = torch.from_numpy(fields)
        return (images + network(images, one_of_two(1 - source, len(images)))).numpy()
