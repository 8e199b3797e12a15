"""Plain forward passes of a ResNeXt50 by each engine and precision, against PyTorch operation by operation in fp32.

``python -m benchmarks.engines``: engines alternate; the numbers are processor seconds of all threads, so that other
load counts little. Engines that are not installed are left out. The last lines are the fastest in each precision.
"""

import argparse
import statistics
from pathlib import Path

import torch

from benchmarks.occlusion import Options, draw_images, hardware, load_trained_task, make_fresh_task
from benchmarks.report import report
from benchmarks.turns import processor_seconds
from leigh_mlops.explanations.eval_mode import evaluating
from leigh_mlops.models.engine_choice import measure_difference
from leigh_mlops.models.engines import ENGINES, PRECISIONS, Engine, build_predictor, find_obstacle

BARS = {"fp32": 1.6, "bf16": 2.5}
CPU = torch.device("cpu")


def main() -> None:
    """Measure all engines that fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--fields", type=int, default=8, help="fields in a batch, as of a job's worker")
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--package", type=Path, help="folder of a trained package; by default a fresh ResNeXt50")
    given = parser.parse_args()
    options = Options(given.image_size, 3, given.turns, CPU, 1, False, given.package)
    model = (make_fresh_task(options, 1) if given.package is None else load_trained_task(options)).model
    images = draw_images(options, given.fields, model.spec.channels) * 4 - 1
    engines = [Engine(name, precision) for precision in PRECISIONS for name in ENGINES]
    engines = [each for each in engines if not find_obstacle(model, each)]
    ways = {each: build_predictor(model, each) for each in engines}
    seconds: dict[Engine, list[float]] = {each: [] for each in engines}
    with evaluating(model):
        for turn in range(2 + given.turns):
            for engine, way in ways.items():
                start = processor_seconds()
                way(images)
                if turn >= 2:
                    seconds[engine].append(processor_seconds() - start)
    medians = {engine: statistics.median(each) / given.fields for engine, each in seconds.items()}
    print(f"{hardware(CPU)}; {given.turns} turns")
    for engine, median in medians.items():
        worst = measure_difference(model, engine, images)
        print(
            f"  {engine.name:9} {engine.precision}: {1e3 * median:7.1f} ms of processor time a field, "
            f"{medians[Engine()] / median:5.2f} times as fast, largest difference {worst:.1e}"
        )
    for precision, bar in BARS.items():
        best = min((each for each in engines if each.precision == precision), key=medians.__getitem__)
        rates = 1 / medians[best], 1 / medians[Engine()]
        report(f"{best.name} in {precision}", ours=rates[0], reference=rates[1], unit="fields/s", bar=bar)


if __name__ == "__main__":
    main()
