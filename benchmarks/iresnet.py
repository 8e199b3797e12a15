"""The published i-ResNet: ours against the textbook version on the same weights, by default at 224 px, batch 8.

``python -m benchmarks.iresnet SECTION…`` with some of the sections below, or with none for all:

- ``step``: one training step, ours in float32 and in bf16 autocast, the textbook's in float32.
- ``forward``: a forward pass in training and in eval mode.
- ``memory``: peak of one step with checkpointed and with stored activations, each in a process of its own.
- ``gradients``: the largest relative difference at equal sigma, in float64 and batches of two.
- ``inverse``: from the latents back, plain and accelerated, against ten iterations that renormalise; on the
  network of ``--package`` or a fresh one, and on the images of ``--data`` or drawn ones.
- ``certificate``: the certificate of ``eval()`` beside an epoch on DS/TT, 748 fields of training and 252 of validation,
  in processor time, for the network of ``--package`` or a fresh one.
- ``sigma``: sigma of the one warm-started power iteration relative to the certified bound, over a short training.
"""

import argparse
import copy
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cache import peak_mib
from benchmarks.report import report
from benchmarks.sigmas import Sigmas
from benchmarks.textbook import TextbookResNet, largest_difference, power_vectors
from benchmarks.turns import median_seconds, processor_seconds
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.models import build_model, load_package
from leigh_mlops.models.invertible import ResidualBlock
from leigh_mlops.models.iresnet import InvertibleResNet

CHANNELS, CLASSES = 3, ("DS", "TT")
TRAINING_FIELDS, VALIDATION_FIELDS = 748, 252
WARM_UP = 50
"""Power iterations before a textbook version is timed or evaluated, so that it starts with a good sigma."""


@dataclass(frozen=True)
class Options:
    """Options of the measurements.

    Attributes:
        image_size: Side of the images in pixels.
        batch: Images in a batch.
        turns: Turns that count.
        device: Device to run on.
        package: Folder of a trained package for the inverse; ``None`` for a fresh network.
        data: Folder of images for the inverse; ``None`` for drawn ones.
        training_steps: Steps of the short training.
        tolerance: Tolerance of our inverse.
        architecture: Keywords of the network.
    """

    image_size: int
    batch: int
    turns: int
    device: torch.device
    package: Path | None
    data: Path | None
    training_steps: int
    tolerance: float
    architecture: dict[str, list[int]] = field(default_factory=dict)

    def images(self, count: int | None = None, seed: int = 1) -> Tensor:
        """Scaled images (N, C, S, S), drawn."""
        size = (count or self.batch, CHANNELS, self.image_size, self.image_size)
        return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(self.device)

    def labels(self, count: int | None = None) -> Tensor:
        """Classes in turns, shape (N,)."""
        return torch.arange(count or self.batch, device=self.device) % len(CLASSES)

    def network(self, **architecture: str | float) -> InvertibleResNet:
        """Build a network in training mode, with initialised ActNorms."""
        torch.manual_seed(0)
        keywords = {"power_iterations": 1} | self.architecture | architecture
        model = build_model("iresnet", classes=CLASSES, image_size=self.image_size, channels=CHANNELS, **keywords)
        model.to(self.device).train()(self.images())
        if not isinstance(model, InvertibleResNet):
            raise TypeError(f"iresnet built a {type(model).__name__}")
        return model


def training_step(network: nn.Module, images: Tensor, labels: Tensor, *, bf16: bool = False) -> Callable[[], None]:
    """Return a function that does one step: forward, backward and Adamax."""
    optimizer = torch.optim.Adamax(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    return step


def measure_step(options: Options) -> None:
    """Measure images per second of a training step."""
    images, labels = options.images(), options.labels()
    model = options.network()
    textbook = TextbookResNet(copy.deepcopy(model))
    sides = {
        "textbook, fp32": training_step(textbook, images, labels),
        "ours, fp32": training_step(model, images, labels),
        "ours, bf16": training_step(model, images, labels, bf16=True),
    }
    found = median_seconds(sides, turns=options.turns, title="training step")
    reference = options.batch / found["textbook, fp32"]
    for name, bar in (("fp32", 1.4), ("bf16", 1.8)):
        rate = options.batch / found[f"ours, {name}"]
        report(f"iresnet step, {name}", ours=rate, reference=reference, unit="images/s", bar=bar)


def measure_forward(options: Options) -> None:
    """Measure images per second of a forward pass without gradients, in both modes."""
    images, model = options.images(), options.network()
    textbook = TextbookResNet(copy.deepcopy(model))
    for mode, training in (("training", True), ("eval", False)):
        model.train(training)
        textbook.train(training)
        with torch.no_grad():
            sides = {"textbook": lambda: textbook(images), "ours": lambda: model(images)}
            found = median_seconds(sides, turns=options.turns, title=f"forward, {mode} mode")
        ours, reference = (options.batch / found[side] for side in ("ours", "textbook"))
        report(f"iresnet forward, {mode} mode", ours=ours, reference=reference, unit="images/s", bar=2.2)


def measure_memory(options: Options) -> None:
    """Measure the peak memory of a training step with and without checkpointing."""
    peaks = {}
    for memory in ("store", "checkpoint"):
        command = [sys.executable, "-m", "benchmarks.iresnet", *sys.argv[1:], "--watch", memory]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peaks[memory] = float(done.stdout.split()[-1])
    unit = "MiB at the peak of a step"
    report("iresnet memory", ours=peaks["checkpoint"], reference=peaks["store"], unit=unit, bar=1.0)


def watch(options: Options, memory: str) -> None:
    """Print the peak of two training steps in this process, in MiB."""
    step = training_step(options.network(memory=memory), options.images(), options.labels())
    for _ in range(2):
        step()
    on_gpu = options.device.type == "cuda"
    print(torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_mib())


def measure_gradients(options: Options) -> None:
    """Measure the largest difference of a parameter's gradient, relative to its largest value."""
    model = options.network(dropout=0).double()
    images, labels = options.images(2).double(), options.labels(2)
    parameters, textbook = list(model.parameters()), TextbookResNet(model)
    loss = F.cross_entropy(model(images), labels)
    textbook.follow(power_vectors(model))
    ours = torch.autograd.grad(loss, parameters)
    theirs = torch.autograd.grad(F.cross_entropy(textbook(images), labels), parameters)
    worst = largest_difference(ours, theirs)
    report("iresnet gradients at equal sigma", ours=worst, reference=1.0, unit="relative difference", bar=1e-7)


def measure_inverse(options: Options) -> None:
    """Measure images per second, of processor time on a CPU, from latents to images, and the largest errors."""
    model, images = (options.network().eval(), options.images()) if options.package is None else load_trained(options)
    textbook = TextbookResNet(copy.deepcopy(model)).eval()
    textbook.iterate(WARM_UP)
    with evaluating(model):
        latents = {"textbook": textbook.encode(images), "ours": model.encode(images)}
        ways = {
            "textbook": lambda: textbook.decode(latents["textbook"]),
            "plain": lambda: decode(model, latents["ours"], options.tolerance, acceleration=0),
            "accelerated": lambda: decode(model, latents["ours"], options.tolerance),
        }
        errors = {name: float((way() - images).abs().max()) for name, way in ways.items()}
        clock = time.perf_counter if options.device.type == "cuda" else processor_seconds
        found = median_seconds(ways, turns=options.turns, discarded=1, title="inverse", clock=clock)
    unit = "images/s" if options.device.type == "cuda" else "images per processor second"
    for name, bar in (("plain", 3.0), ("accelerated", 4.0)):
        ours, reference = (len(images) / found[side] for side in (name, "textbook"))
        report(f"iresnet inverse, {name}", ours=ours, reference=reference, unit=unit, bar=bar)
        allowed = max(1e-5, errors["textbook"])
        print(f"largest error: {name} {errors[name]:.3g}, textbook {errors['textbook']:.3g}")
        report(f"iresnet inverse, {name}, error", ours=errors[name], reference=allowed, unit="network units", bar=1.0)


def decode(model: InvertibleResNet, latents: Tensor, tolerance: float, **how: int) -> Tensor:
    """Decode latents to images, with given options of each block's inverse."""
    x = latents
    for part in reversed(model.trunk):
        x = part.inverse(x, tolerance, **how).x if isinstance(part, ResidualBlock) else part.inverse(x)
    return x[:, : model.spec.channels]


def load_trained(options: Options) -> tuple[InvertibleResNet, Tensor]:
    """Load the network of a package and a batch of images in its units."""
    from benchmarks.counterfactuals import unseen_rows
    from leigh_mlops.images import IntensityScale
    from leigh_mlops.study.evaluate_version import matching_data
    from leigh_mlops.study.prepare import DataSource

    package = load_package(options.package)
    model, spec = package.model.to(options.device), package.model.spec
    if options.data is None:
        size = (options.batch, spec.channels, spec.image_size, spec.image_size)
        return model, torch.randn(size, generator=torch.Generator().manual_seed(1)).to(options.device)
    data = matching_data(package, DataSource(options.data), Console(quiet=True))
    rows = unseen_rows(package, data, options.batch)
    (batch,) = data.batches_from_rows(rows, IntensityScale.from_json(package.scale), options.batch)
    return model, batch.images.to(options.device)


def measure_sigma(options: Options) -> None:
    """Compare the sigma of training with that of a converged power iteration and the certified bound."""
    model = options.network()
    step = training_step(model, options.images(), options.labels())
    shown = {2**power for power in range(20)} | {options.training_steps}
    for number in range(1, options.training_steps + 1):
        step()
        if number in shown:
            sigmas = Sigmas.measure(model)
            print(f"after step {number}: {sigmas.summary()}")
    lowest = float((sigmas.training / sigmas.bound).min())
    report("iresnet sigma", ours=lowest, reference=1.0, unit="of the certified bound, lowest layer", bar=0.9)


def measure_certificate(options: Options) -> None:
    """Measure the processor seconds of a certificate and of an epoch, by float32 and by bf16."""
    model, images = (options.network(), options.images()) if options.package is None else load_trained(options)
    labels = options.labels()
    for bf16 in (False, True):
        step, seconds = training_step(model.train(), images, labels, bf16=bf16), []
        step()
        for _ in range(options.turns):
            training = process_seconds(model.train, step)
            certificate = process_seconds(model.eval)
            with torch.no_grad():
                validation = process_seconds(lambda: model(images))
            fields = TRAINING_FIELDS * training + VALIDATION_FIELDS * validation
            seconds.append((certificate, fields / len(images)))
            print(f"certificate {certificate:.1f} s, training step {training:.1f} s, validation {validation:.1f} s")
        ours, reference = (statistics.median(each) for each in zip(*seconds, strict=True))
        name = f"iresnet certificate, {'bf16' if bf16 else 'fp32'}"
        report(name, ours=ours, reference=reference, unit="processor seconds in an epoch", bar=0.02)


def process_seconds(*work: Callable[[], object]) -> float:
    """Processor seconds of some functions, one after the other."""
    start = time.process_time()
    for each in work:
        each()
    return time.process_time() - start


SECTIONS: dict[str, Callable[[Options], None]] = {
    "step": measure_step,
    "forward": measure_forward,
    "memory": measure_memory,
    "gradients": measure_gradients,
    "inverse": measure_inverse,
    "certificate": measure_certificate,
    "sigma": measure_sigma,
}


def main() -> None:
    """Measure the sections asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], metavar="SECTION")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--package", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--training-steps", type=int, default=32)
    parser.add_argument("--tolerance", type=float, default=1e-6)
    for name in ("blocks", "widths"):
        parser.add_argument(f"--{name}", type=int, nargs="+")
    parser.add_argument("--watch", choices=("store", "checkpoint"), help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    sections, memory = given.pop("sections"), given.pop("watch")
    architecture = {name: value for name in ("blocks", "widths") if (value := given.pop(name))}
    options = Options(**given, architecture=architecture)
    if memory:
        watch(options, memory)
        return
    for name in sections or SECTIONS:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
