"""Endpoints other than the transport: networks and simple corrections of transported fields, evaluated as it is.

``python -m benchmarks.endpoints [DATA] [--methods correction,denoiser,refiner,translator] [--minutes 6]`` splits wells
as ``benchmarks.transport`` does: all is fitted on one third, evaluators are trained on another, and the last is
evaluated. For what is fitted to transported fields, these come from transports of the other half of their wells.

- correction: the histogram or the spectrum of transported fields is matched to that of real ones, or the transports of
  three draws of rotations are averaged.
- denoiser: transported fields are denoised by a network that is trained on noisy real fields of both classes. Noise is
  added before all but the first two; four steps lower it to 0.
- refiner: a residual network changes transported fields so that discriminators don't tell them from real ones, and that
  patches and fields have the same distributions of random filters (sliced Wasserstein distance).
- translator: the same network and losses, from the images themselves in place of transported ones.

``--minutes`` is the processor time in which the translator is trained; the refiner takes half of it, the denoiser a
quarter. The evaluators, the AUC, and the share of typical fields are those
of ``benchmarks.transport``; DAPI is the change of the mean DAPI relative to that of the real wells that are evaluated;
ms is processor time per field, with the transport where a method begins with it. As trainings
end by time, figures differ a little from run to run.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.transport import (
    Plate,
    RealFields,
    class_fields,
    draw_sheet,
    fit_evaluators,
    open_plate,
    well_differences,
)
from leigh_mlops.images import IntensityScale, fit_scale
from leigh_mlops.models.transport import (
    ClassFields,
    SlicedTransport,
    drop_small_changes,
    fit_transport,
    round_to_steps,
)
from leigh_mlops.report.style import save_figure
from leigh_mlops.study.transport_choice import choose_transport

Floats = npt.NDArray[np.float32]
Change = Callable[[Floats], Floats]
METHODS = ("correction", "denoiser", "refiner", "translator")
NOISES = ((0.05, 1, False), (0.15, 1, False), (0.1, 2, True), (0.3, 4, True))
ALL_PIXELS = 2**62
BATCH, FILTERS, PATCHES = 16, 16, 2000


class Direction(NamedTuple):
    """Fields of one class, in network units, and those of the class to lead to.

    ``moved`` are the training fields after a transport that was fitted on the other half of the wells, ``changed`` the
    evaluated ones after the transport of all training wells.
    """

    source: int
    images: Floats
    moved: Floats
    real: Floats
    evaluated: Floats
    changed: Floats
    draws: tuple[SlicedTransport, ...]


def prepare(plate: Plate, scale: IntensityScale, source: int, seed: int) -> Direction:
    """Fit the transport as a package does, two more draws of it, and one on each half of the wells."""
    ours, theirs = (class_fields(plate, 0, label, scale) for label in (source, 1 - source))
    plan, shrink, chosen = choose_transport(ours, theirs, scale, seed)
    fit = partial(fit_transport, plan=plan, shrink=shrink)
    draws = tuple(fit(ours, theirs, seed=chosen + 10 * number) for number in range(3))
    images, real = (each.read(np.arange(len(each.wells))) for each in (ours, theirs))
    moved = np.empty_like(images)
    halves = [in_first_half(each, seed) for each in (ours, theirs)]
    for flag in (False, True):
        some = [select(each, half == flag) for each, half in zip((ours, theirs), halves, strict=True)]
        moved[halves[0] != flag] = fit(*some, seed=chosen).apply(images[halves[0] != flag])
    evaluated = scale.apply(plate.cache.raw(plate.rows(2, source)))
    return Direction(source, images, moved, real, evaluated, draws[0].apply(evaluated), draws)


def in_first_half(fields: ClassFields, seed: int) -> npt.NDArray[np.bool_]:
    """Whether each field is of a random half of the wells."""
    return np.isin(fields.wells, np.random.default_rng(seed).permutation(np.unique(fields.wells))[::2])


def select(fields: ClassFields, chosen: npt.NDArray[np.bool_]) -> ClassFields:
    """Some of the fields."""
    rows = np.flatnonzero(chosen)
    return ClassFields(fields.name, lambda some: fields.read(rows[some]), fields.wells[rows])


def corrections(given: Direction) -> dict[str, Change]:
    """Changes of transported fields that need no network, by name; the mean of draws begins with the images."""
    return {
        "+ histogram": partial(match_histograms, given=given),
        "+ spectrum": partial(match_spectra, given=given),
        "mean of three draws": lambda images: np.mean([each.apply(images) for each in given.draws], axis=0),
    }


def match_histograms(fields: Floats, given: Direction) -> Floats:
    """Fields after the monotone map of each channel from transported training fields to real ones."""
    levels = np.linspace(0, 1, 4000)
    matched = [
        np.interp(fields[:, channel], *(np.quantile(each[:, channel], levels) for each in (given.moved, given.real)))
        for channel in range(fields.shape[1])
    ]
    return np.stack(matched, axis=1).astype(np.float32)


def match_spectra(fields: Floats, given: Direction) -> Floats:
    """Fields whose frequencies are weighted so that mean power by distance and channel is that of real fields."""
    side = fields.shape[2]
    place = np.fft.fftfreq(side, 1 / side)
    distance = np.rint(np.hypot(place[:, None], place)).astype(int)

    def power(images: Floats) -> npt.NDArray[np.float64]:
        spectra = np.square(np.abs(np.fft.fft2(images - images.mean(axis=(2, 3), keepdims=True)))).mean(axis=0)
        return np.stack([np.bincount(distance.ravel(), each.ravel()) for each in spectra])

    weights = np.sqrt(power(given.real) / np.maximum(power(given.moved), 1e-9))
    weights[:, 0] = 1
    return np.fft.ifft2(np.fft.fft2(fields) * weights[:, distance]).real.astype(np.float32)


class Residual(nn.Module):
    """Two convolutions and what they are added to, with an offset of each channel by condition."""

    def __init__(self, width: int, condition: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.offset = nn.Linear(condition, width)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Images after the block."""
        inner = F.relu(self.first(images) + self.offset(condition)[:, :, None, None])
        return images + 0.3 * self.second(inner)


class Network(nn.Module):
    """Small U-Net on blocks of 2 x 2 pixels, whose output is 0 at first."""

    def __init__(self, channels: int, condition: int, narrow: int = 28, wide: int = 48) -> None:
        super().__init__()
        self.enter, self.leave = (
            nn.Conv2d(*each, 3, padding=1) for each in ((4 * channels, narrow), (narrow, 4 * channels))
        )
        self.down, self.up = nn.Conv2d(narrow, wide, 2, 2), nn.ConvTranspose2d(wide, narrow, 2, 2)
        self.outer = nn.ModuleList(Residual(narrow, condition) for _ in range(2))
        self.inner = nn.ModuleList(Residual(wide, condition) for _ in range(2))
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """Change of images (N, C, H, W) by condition (N, K)."""
        near = self.outer[0](self.enter(F.pixel_unshuffle(images, 2)), condition)
        far = self.down(near)
        for block in self.inner:
            far = block(far, condition)
        return F.pixel_shuffle(self.leave(self.outer[1](near + self.up(far), condition)), 2)


class Discriminator(nn.Module):
    """Score of fields: that of patches, and that of mean and spread of the patches' features over the field."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths, norm = (4 * channels, 24, 40, 48), nn.utils.parametrizations.spectral_norm
        kinds = ((3, 1, 1), (4, 2, 1), (3, 1, 1))
        layers = [
            layer
            for enter, leave, (size, stride, padding) in zip(widths, widths[1:], kinds, strict=False)
            for layer in (norm(nn.Conv2d(enter, leave, size, stride, padding)), nn.LeakyReLU(0.2))
        ]
        self.features, self.patch = nn.Sequential(*layers), nn.Conv2d(48, 1, 1)
        self.field = nn.Sequential(nn.Linear(96, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Scores (N,), higher for real fields."""
        found = self.features(F.pixel_unshuffle(images, 2))
        moments = torch.cat([found.mean((2, 3)), found.std((2, 3))], dim=1)
        return self.patch(found).mean((1, 2, 3)) + self.field(moments)[:, 0]


def one_of_two(label: int, count: int) -> Tensor:
    """Condition of so many fields that lead to a class, shape (N, 2)."""
    return F.one_hot(torch.full((count,), label), 2).float()


def turned_batch(fields: Tensor) -> Tensor:
    """Random fields in one random orientation."""
    some = fields[torch.randperm(len(fields))[:BATCH]]
    number = int(torch.randint(8, ()))
    turned = torch.rot90(some, number % 4, (2, 3))
    return turned.flip(3) if number >= 4 else turned


def random_filters(channels: int) -> Tensor:
    """Random filters of 1, 3 or 5 px, some of single channels, some without a mean."""
    filters = torch.randn(FILTERS, channels, *[int(torch.randint(3, ())) * 2 + 1] * 2)
    if torch.rand(()) < 0.5:
        filters *= F.one_hot(torch.randint(channels, (FILTERS,)), channels)[:, :, None, None]
    if filters.shape[2] > 1 and torch.rand(()) < 0.7:
        filters -= filters.mean((2, 3), keepdim=True)
    return F.normalize(filters.flatten(1)).view_as(filters)


def wasserstein(made: Tensor, real: Tensor) -> Tensor:
    """Mean distance of rows of as many numbers, in standard deviations of the real ones."""
    ordered = [each.sort(dim=1)[0] for each in (made, real)]
    return ((ordered[0] - ordered[1]).abs() / real.std(dim=1, keepdim=True).clamp_min(1e-2)).mean()


def sliced_distance(made: Tensor, real: Tensor) -> Tensor:
    """Sliced Wasserstein distance of patches at three scales, of fields by mean and spread, and of their quantiles."""
    total = torch.zeros(())
    for scale in (1, 2, 4):
        filters = random_filters(made.shape[1])
        found = [F.conv2d(F.avg_pool2d(each, scale), filters).transpose(0, 1) for each in (made, real)]
        patches = (each.flatten(1)[:, torch.randint(each[0].numel(), (PATCHES,))] for each in found)
        fields = (torch.cat([each.mean((2, 3)), each.std((2, 3)), each.abs().mean((2, 3))]) for each in found)
        total = total + wasserstein(*patches) / 3 + 0.1 * wasserstein(*fields)
    places = (torch.rand(8) * (made[0, 0].numel() - 1)).round().long()
    levels = (each.flatten(2).sort(2)[0][:, :, places].permute(1, 2, 0).flatten(0, 1) for each in (made, real))
    return total + 0.1 * wasserstein(*levels)


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


def update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    """Take one step with gradients of at most 1."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([each for group in optimizer.param_groups for each in group["params"]], 1.0)
    optimizer.step()


def translate(network: Network, source: int, fields: Floats) -> Floats:
    """Fields of a class after the network."""
    with torch.no_grad():
        images = torch.from_numpy(fields)
        return (images + network(images, one_of_two(1 - source, len(images)))).numpy()


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


def as_saved(raw: Floats, made: Floats, scale: IntensityScale) -> Floats:
    """Raw intensities as they are saved."""
    clipped = np.clip(scale.invert(made), 0, scale.full_scale)
    return drop_small_changes(raw, round_to_steps(raw, clipped), scale.full_scale)


def milliseconds(change: Change, fields: Floats) -> float:
    """Median processor milliseconds of ten fields, changed one by one."""
    change(fields[:1])
    times = []
    for number in range(10):
        begin = time.process_time()
        change(fields[number : number + 1])
        times.append(1000 * (time.process_time() - begin))
    return float(np.median(times))


def evaluate(
    plate: Plate, scale: IntensityScale, given: Direction, found: dict[str, Change], real: RealFields
) -> tuple[list[dict[str, object]], dict[str, Floats]]:
    """A row for each change, and fields by title."""
    rows = plate.rows(2, given.source)
    raw, wells = plate.cache.raw(rows), plate.wells[rows]
    direction = f"{plate.classes[given.source]} to {plate.classes[1 - given.source]}"
    wanted = well_differences(plate, given.source, 2)[0][0]
    moving = milliseconds(given.draws[0].apply, given.evaluated)
    table, shown = list[dict[str, object]](), dict[str, Floats]()
    for name, change in found.items():
        is_after = name.startswith("+")
        begun = given.changed if is_after else given.evaluated
        made = as_saved(raw, change(begun), scale)
        shown[f"{direction}: {name}"] = made
        record = {"direction": direction, "endpoint": name} | real.compare(made, wells)
        record["DAPI"] = float((made[:, 0] - raw[:, 0]).mean() / wanted)
        table.append(record | {"ms": milliseconds(change, begun) + moving * is_after})
    return table, shown


def changes(given: list[Direction], method: str, minutes: float) -> list[dict[str, Change]]:
    """Changes by name for each direction; those that begin with + are applied to transported fields."""
    reals = [each.real for each in given]
    if method == "correction":
        return [corrections(each) for each in given]
    if method == "denoiser":
        network = train_denoiser(reals, minutes / 4)
        names = {
            each: f"+ noise {each[0]:g}, {each[1]} step{'s' * (each[1] > 1)}{', added' if each[2] else ''}"
            for each in NOISES
        }
        return [
            {name: partial(denoise, network, each.source, *noise) for noise, name in names.items()} for each in given
        ]
    if method == "refiner":
        network = train_translator([each.moved for each in given], reals, 0.3, minutes / 2)
        return [{"+ refiner": partial(translate, network, each.source)} for each in given]
    network = train_translator([each.images for each in given], reals, 0.02, minutes)
    return [{"translator": partial(translate, network, each.source)} for each in given]


def show_references(plate: Plate, source: int) -> dict[str, Floats]:
    """Fields of a class and of the other that are evaluated, by title."""
    names = plate.classes[source], plate.classes[1 - source]
    titles = f"{names[0]} to {names[1]}: image", f"{names[0]} to {names[1]}: real {names[1]}"
    return {
        title: plate.cache.raw(plate.rows(2, label)) for title, label in zip(titles, (source, 1 - source), strict=True)
    }


def main() -> None:
    """Evaluate each method in both directions and print its results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", default=Path(os.environ.get("LEIGH_DATA", ".")) / "leigh_ds_tt")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--minutes", type=float, default=6.0, help="processor minutes of the longest training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", type=Path, help="PNG of six fields of each direction and endpoint")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        plate = open_plate(given.data, 64, Path(folder), given.seed)
        scale = fit_scale(plate.cache, plate.rows(0), "log")
        panel = fit_evaluators(plate, given.seed, 12)
        directions = [prepare(plate, scale, source, given.seed) for source in (0, 1)]
        reals = [RealFields(plate, 1 - source, panel, given.seed) for source in (0, 1)]
        shown = [show_references(plate, source) for source in (0, 1)]
        begin = [{"transport": each.draws[0].apply} for each in directions]
        for method in ("", *given.methods.split(",")):
            torch.manual_seed(given.seed)
            found = changes(directions, method, given.minutes) if method else begin
            for number, each in enumerate(zip(directions, found, reals, strict=True)):
                table, fields = evaluate(plate, scale, *each)
                print(pd.DataFrame(table).round(3).to_string(index=False), flush=True)
                shown[number] |= fields
    if given.sheet:
        save_figure(draw_sheet(shown[0] | shown[1]), given.sheet)


if __name__ == "__main__":
    main()
