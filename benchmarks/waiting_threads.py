"""Training steps of small networks with threads that wait asleep, as commands have them, against OpenMP's default.

    python -m benchmarks.waiting_threads [--turns 3] [--busy 2]

Each way is a process of its own with a thread for each core; they alternate, beside ``--busy`` processes that compute
all the time (0: on idle cores). The networks are the two independent classifiers of a counterfactual, and ResNeXt50 on
images of 64 px. The last line is one JSON object, of the medians of all steps' wall time; the processor time is
printed above it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.report import report
from leigh_mlops.models import build_model
from leigh_mlops.models.oracles.oracle_networks import build_cnn, build_resnet

WAYS = {"asleep": "PASSIVE", "spinning": ""}
STEPS = 5
BUSY = "while True: pass"


def step_times(network: nn.Module, images: torch.Tensor) -> tuple[float, float]:
    """Median wall and processor time of a training step in seconds."""
    optimizer, labels = torch.optim.SGD(network.train().parameters(), 0.01), torch.zeros(len(images), dtype=torch.long)
    taken = []
    for _ in range(1 + STEPS):
        begun = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        taken.append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    wall, processor = zip(*taken[1:], strict=True)
    return statistics.median(wall), statistics.median(processor)


def measure_networks() -> dict[str, tuple[float, float]]:
    """Wall and processor time of a step of each network, in this process."""
    torch.manual_seed(0)
    torch.set_num_threads(os.cpu_count() or 1)
    return {
        "cnn": step_times(build_cnn(3, 3), torch.randn(32, 3, 32, 32)),
        "resnet": step_times(build_resnet(3, 3), torch.randn(32, 3, 32, 32)),
        "resnext": step_times(
            build_model("resnext", classes=["a", "b"], image_size=64, channels=3), torch.randn(15, 3, 64, 64)
        ),
    }


def run_way(policy: str) -> dict[str, tuple[float, float]]:
    """Measure in a process with this policy of waiting."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    environment |= {"OMP_WAIT_POLICY": policy} if policy else {}
    command = [sys.executable, "-m", "benchmarks.waiting_threads", "--measure"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return {name: (each[0], each[1]) for name, each in json.loads(done.stdout).items()}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--busy", type=int, default=2)
    parser.add_argument("--measure", action="store_true")
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure_networks()))
        return
    others = [subprocess.Popen([sys.executable, "-S", "-c", BUSY]) for _ in range(given.busy)]
    try:
        turns = [{way: run_way(policy) for way, policy in WAYS.items()} for _ in range(given.turns)]
    finally:
        for other in others:
            other.kill()
    whole = dict.fromkeys(WAYS, 0.0)
    for way in WAYS:
        for name in turns[0][way]:
            wall, processor = (statistics.median(turn[way][name][number] for turn in turns) for number in (0, 1))
            whole[way] += wall
            print(f"{way}, {name}: {1000 * wall:.0f} ms, {1000 * processor:.0f} ms of processor time")
    report("waiting threads", ours=whole["asleep"], reference=whole["spinning"], unit="seconds of a step", bar=1)


if __name__ == "__main__":
    main()
