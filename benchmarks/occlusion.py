"""Exact occlusion maps of one ResNeXt50 image, ours against Captum's, and those within a budget against exact ones.

``python -m benchmarks.occlusion SECTION…`` with some of the sections below, or with all of them:

- ``exact``: window 15, stride 6, raw zero beneath, in float32. Captum by its defaults sees one window
  at a time; ``batched`` is Captum at its best, many windows at a time and channels last in memory. On a GPU both
  multiply float32 in full, as ours always does, unless ``--tf32`` lets Captum round.
- ``bf16``: why ours never rounds: what the map of a network in bf16 is off by; on a CPU it takes long.
- ``memory``: peak of a map, ours beside Captum's by its defaults, each in a process of its own.
- ``budget``: rank correlation with the exact map, measured and as estimated, by evaluations.

The network is that of ``--package``, or a fresh one that has seen some batches of the drawn images.
"""

import argparse
import copy
import math
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from captum.attr import Occlusion
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.cache import peak_mib
from benchmarks.report import report
from benchmarks.turns import median_seconds, processor_seconds
from leigh_mlops.explanations.occlusion.exact import occlusion, occlusion_with_budget
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import build_model, load_package

WINDOW, STRIDE = 15, 6
CLASSES = ("DS", "TT", "WT")
TRAINING_STEPS = 8


@dataclass(frozen=True)
class Options:
    """Options of the measurements.

    Attributes:
        image_size: Side of the image in pixels; that of the package where one is given.
        channels: Channels of the fresh network.
        turns: Turns that count.
        device: Device to run on.
        at_once: Windows that Captum sees at once where it is batched.
        tf32: Whether Captum may round products on a GPU.
        package: Folder of a trained package; ``None`` for a fresh network.
    """

    image_size: int
    channels: int
    turns: int
    device: torch.device
    at_once: int
    tf32: bool
    package: Path | None


@dataclass(frozen=True)
class Task:
    """One image, whose target is the class that the network predicts.

    Attributes:
        model: In eval mode.
        image: Shape (1, C, S, S).
        target: Shape (1,).
        black: Scaled raw zero, shape (C,).
    """

    model: nn.Module
    image: Tensor
    target: Tensor
    black: Tensor

    def ours(self) -> Tensor:
        """Compute the map of shape (1, S, S)."""
        return occlusion(self.model, self.image, self.target, window=WINDOW, stride=STRIDE, baseline=self.black)

    def captum(self, at_once: int = 1, **how: torch.memory_format) -> Tensor:
        """Compute the map by Captum, which keeps a map per channel."""
        channels = self.image.shape[1]
        maps = Occlusion(self.model).attribute(
            self.image.contiguous(**how),
            sliding_window_shapes=(channels, WINDOW, WINDOW),
            strides=(channels, STRIDE, STRIDE),
            baselines=self.black.view(1, -1, 1, 1).expand_as(self.image),
            target=self.target,
            perturbations_per_eval=at_once,
        )
        return maps.mean(dim=1)


def draw_images(options: Options, count: int, channels: int, seed: int = 1) -> Tensor:
    """Draw raw intensities 0 to 1 of bright spots on a dim ground, shape (N, C, S, S)."""
    generator = torch.Generator().manual_seed(seed)
    size = options.image_size
    coarse = torch.rand(count, channels, size // 16, size // 16, generator=generator)
    spots = F.interpolate(coarse.pow(2), size=(size, size), mode="bicubic").clamp(0, 1)
    noise = 0.02 * torch.rand(count, channels, size, size, generator=generator)
    return (0.05 + spots + noise).to(options.device)


def make_fresh_task(options: Options, steps: int) -> Task:
    """Train a ResNeXt50 for a few steps, so that its logits depend on positions."""
    torch.manual_seed(0)
    model = build_model("resnext", classes=CLASSES, image_size=options.image_size, channels=options.channels)
    model.to(options.device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for step in range(steps):
        images = draw_images(options, 8, options.channels, seed=2 + step)
        brighter = images[:, 0, : options.image_size // 2].mean(dim=(1, 2)) > images[:, 0].mean(dim=(1, 2))
        loss = F.cross_entropy(model(images * 4 - 1), brighter.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    fit_running_statistics(model, draw_images(options, 8, options.channels) * 4 - 1)
    image = draw_images(options, 1, options.channels) * 4 - 1
    return predicted_class_task(model.eval(), image, torch.full((options.channels,), -1.0, device=options.device))


def fit_running_statistics(model: nn.Module, images: Tensor) -> None:
    """Set running statistics to those of the images, which few training steps do not reach."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model(images)


def load_trained_task(options: Options) -> Task:
    """Load the network of the package and draw an image in its units."""
    package = load_package(options.package)
    model, spec = package.model.to(options.device).eval(), package.model.spec
    scale = IntensityScale.from_json(package.scale)
    raw = draw_images(options, 1, spec.channels).cpu().numpy() * scale.full_scale
    image, black = (torch.from_numpy(scale.apply(each)).float().to(options.device) for each in (raw, raw * 0))
    return predicted_class_task(model, image, black[0, :, 0, 0])


def predicted_class_task(model: nn.Module, image: Tensor, black: Tensor) -> Task:
    """Create a task with the predicted class as the target."""
    with torch.no_grad():
        return Task(model, image, model(image).argmax(dim=1), black)


def make_task(options: Options, steps: int = TRAINING_STEPS) -> Task:
    """Create the task of all sections."""
    return make_fresh_task(options, steps) if options.package is None else load_trained_task(options)


def hardware(device: torch.device) -> str:
    """Name of the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    model = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), "")
    return f"{model.partition(':')[2].strip() or platform.processor()}, {torch.get_num_threads()} threads"


def difference(map_: Tensor, reference: Tensor) -> float:
    """Largest difference, relative to the reference's largest absolute value."""
    return float((map_ - reference).abs().max() / reference.abs().max())


def measure_exact(options: Options) -> None:
    """Measure maps per second and the largest difference from Captum's."""
    it = make_task(options)
    torch.backends.cuda.matmul.fp32_precision = "tf32" if options.tf32 else "ieee"
    torch.backends.cudnn.conv.fp32_precision = "tf32" if options.tf32 else "ieee"
    maps: dict[str, Tensor] = {}

    def side(name: str, way: Callable[[], Tensor]) -> Callable[[], None]:
        def run() -> None:
            maps[name] = way()

        return run

    sides = {
        "captum": side("captum", it.captum),
        "captum, batched": side("batched", lambda: it.captum(options.at_once, memory_format=torch.channels_last)),
        "ours": side("ours", it.ours),
    }
    found = median_seconds(sides, turns=options.turns, discarded=0, title=f"occlusion on {hardware(options.device)}")
    print(f"Captum against itself batched: {difference(maps['batched'], maps['captum']):.3g}")
    on_gpu, ours = options.device.type == "cuda", 1 / found["ours"]
    worst = difference(maps["ours"], maps["captum"])
    report("occlusion, difference", ours=worst, reference=1.0, unit="of the largest value", bar=1e-4)
    for name, bar in (("captum, batched", 1.0), ("captum", 10.0 if on_gpu else 4.0)):
        report(f"occlusion against {name}", ours=ours, reference=1 / found[name], unit="maps/s", bar=bar)


def measure_bf16(options: Options) -> None:
    """Measure the largest error of bf16: our map of network and image rounded to it, against that in float32."""
    it = make_task(options)
    model = copy.deepcopy(it.model).bfloat16()
    rounded = Task(model, it.image.bfloat16(), it.target, it.black.bfloat16())
    worst = difference(rounded.ours().float(), it.ours())
    report("occlusion in bf16, difference", ours=worst, reference=1.0, unit="of the largest value", bar=math.inf)


def measure_memory(options: Options) -> None:
    """Measure the peak memory of a process that computes one map."""
    peaks = {}
    for way in ("captum", "ours"):
        command = [sys.executable, "-m", "benchmarks.occlusion", *sys.argv[1:], "--watch", way]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        peaks[way] = float(done.stdout.split()[-1])
    report("occlusion, memory", ours=peaks["ours"], reference=peaks["captum"], unit="MiB at the peak", bar=2.0)


def watch(options: Options, way: str) -> None:
    """Print the peak of one map in MiB; without the steps of training, whose memory would count."""
    it = make_task(options, steps=0)
    reset(options.device)
    getattr(it, way)()
    on_gpu = options.device.type == "cuda"
    print(torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_mib())


def reset(device: torch.device) -> None:
    """Reset the peak memory."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        Path("/proc/self/clear_refs").write_text("5")


def measure_budget(options: Options) -> None:
    """Measure speed, agreement of whole maps, and its estimate from held-out windows, by budget."""
    it = make_task(options)
    exact = it.ours()
    start = processor_seconds()
    it.captum()
    captum = processor_seconds() - start
    for budget in (50, 100, 150, 200, 400):
        start = processor_seconds()
        coarse = occlusion_with_budget(
            it.model, it.image, it.target, budget=budget, window=WINDOW, stride=STRIDE, baseline=it.black
        )
        took = processor_seconds() - start
        true = spearmanr(coarse.map.flatten().cpu(), exact.flatten().cpu()).statistic
        spent, said = int(coarse.evaluations[0]), float(coarse.agreement[0])
        print(f"budget {budget}, {spent} evaluations: agreement {true:.3f}, windows held back say {said:.3f}")
        report(f"occlusion within {budget}", ours=float(true), reference=1.0, unit="rank correlation", bar=0.95)
        report(f"occlusion within {budget}", ours=1 / took, reference=1 / captum, unit="maps/processor s", bar=25.0)


SECTIONS: dict[str, Callable[[Options], None]] = {
    "bf16": measure_bf16,
    "budget": measure_budget,
    "memory": measure_memory,
    "exact": measure_exact,
}


def main() -> None:
    """Measure the sections asked for; the last line is the speed against Captum by its defaults."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], metavar="SECTION")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--tf32", action="store_true")
    parser.add_argument("--package", type=Path)
    parser.add_argument("--watch", choices=("captum", "ours"), help=argparse.SUPPRESS)
    given = vars(parser.parse_args())
    sections, way = given.pop("sections"), given.pop("watch")
    options = Options(**given)
    if way:
        watch(options, way)
        return
    for name in sections or SECTIONS:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
