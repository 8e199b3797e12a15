"""Memory of class means over 10,000 latents of 401,408 numbers, beyond that of one batch through the network.

A stand-in network makes such latents in no time: an image is one number, by which a fixed latent is
multiplied. A process of its own first classifies a batch, then takes the class means of all; what counts is
how much higher the peak of its memory is in the second (Linux, /proc; ``ru_maxrss`` of a child would begin
with the memory of its parent, and cannot be set back between the two).
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from benchmarks.report import report

LATENT_SHAPE = (2048, 14, 14)
BATCH = 16
BAR_MB = 100.0


class StandIn(nn.Module):
    """Images (N, 1, 1, 1) to latents (N, 2048, 14, 14) and two classes."""

    spec = SimpleNamespace(classes=("DS", "TT"), channels=1, image_size=1)
    task = "classify"
    pattern: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("pattern", torch.linspace(-1, 1, 2048 * 14 * 14).view(LATENT_SHAPE))

    def encode(self, images: Tensor) -> Tensor:
        """Each image's number times the pattern."""
        return images * self.pattern

    def classify(self, latents: Tensor) -> Tensor:
        """Logits (N, 2) from the sign of the first number."""
        first = latents[:, 0, 0, :1]
        return torch.cat([first, -first], dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, 2)."""
        return self.classify(self.encode(images))


def batches(count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Some images of both classes."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, BATCH):
        numbers = torch.randn(min(BATCH, count - start), 1, 1, 1, generator=generator)
        yield numbers, (numbers.flatten() < 0).long()


def watch(count: int) -> None:
    """Print the peaks of a batch and of the class means, in MiB."""
    from benchmarks.cache import peak_mib
    from leigh_mlops.explanations import class_means

    torch.set_num_threads(1)
    model = StandIn()
    images, _ = next(batches(BATCH))
    forget_peak()
    with torch.no_grad():
        model(images)
    before = peak_mib()
    forget_peak()
    means = class_means(model, batches(count))
    if int(means["true_counts"].sum()) != count:
        raise SystemExit(f"{int(means['true_counts'].sum())} of {count} latents were counted")
    print(before, peak_mib())


def forget_peak() -> None:
    """Let the peak of this process begin again at what it holds now."""
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    """Run the watched process and report the difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--latents", type=int, default=10_000)
    parser.add_argument("--watch", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.watch:
        watch(given.latents)
        return
    command = [sys.executable, "-m", "benchmarks.class_means", "--latents", str(given.latents), "--watch"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    before, after = map(float, done.stdout.split()[-2:])
    beyond = (after - before) * 2**20 / 1e6
    print(f"{given.latents} latents: {after:.0f} MiB at the peak, {before:.0f} MiB at that of one batch of {BATCH}")
    report("class_means", ours=beyond, reference=BAR_MB, unit="MB beyond a batch", bar=1.0)


if __name__ == "__main__":
    main()
