"""Everything that a GPU changes, measured in one go of less than eight minutes, without Ray and MLflow.

    python -m benchmarks.gpu [SECTION…] [--toy]

- ``step``: a training step of each published network in fp32, TF32 and bf16, with its peak of memory and the estimate.
- ``waits``: how often a training step waits for the GPU (0 is the bar), as PyTorch's debug mode counts.
- ``inverse``: the published i-ResNet back to the image where PyTorch may round to TF32, and the error.
- ``counterfactual``: counterfactuals of a batch of fields.
- ``occlusion``: one exact map of ResNeXt50, ours against Captum's batched one at the same precision.
- ``job``: fields per second of a job's worker that reads, explains and writes, by one process.

A section that fails is reported, and the others are measured all the same. ``--toy`` takes small networks and few
turns, so that the benchmark itself can be tested on a CPU. The last line is one JSON object of all numbers.
"""

import argparse
import functools
import importlib.util
import json
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.turns import median_seconds
from leigh_mlops.explanations import ExplanationContext, class_means, explain_fields
from leigh_mlops.explanations.occlusion.exact import occlusion
from leigh_mlops.images import Batch, IntensityScale, open_cache
from leigh_mlops.models import ModelPackage, Network, build_model, save_package
from leigh_mlops.models.device import default_device
from leigh_mlops.models.precision import float32_precision, resolve_precision
from leigh_mlops.plates import assign_split, find_images
from leigh_mlops.settings import TrainingSettings, find_search_files, load_space
from leigh_mlops.training import PreparedData, TrainingState, estimate_gpu_memory, inverse_error, place_network
from leigh_mlops.training.epoch import LossOptions, train_batch
from leigh_mlops.training.objective import move_batch

CLASSES, CHANNELS = ("DS", "TT"), 3
FAMILIES = ("resnext", "autoencoder", "iresnet")
PRECISIONS = ("fp32", "tf32", "bf16")
"""fp32 keeps the layout that PyTorch gives; the others have channels last."""

TOY: dict[str, dict[str, Any]] = {
    "resnext": {"layers": [1, 1, 1, 1], "groups": 4},
    "autoencoder": {"widths": [4, 8]},
    "iresnet": {"blocks": [1, 1], "widths": [4, 4]},
}
SCALE = IntensityScale("linear", 255, (0.2,) * CHANNELS, (0.1,) * CHANNELS)

Numbers = dict[str, float | str]


@functools.cache
def read_published() -> dict[str, TrainingSettings]:
    """Published settings by family."""
    spaces = [load_space(path) for path in find_search_files()]
    return {space.family: TrainingSettings.from_flat(space.published) for space in spaces}


@dataclass(frozen=True)
class Options:
    """Options of the measurements.

    Attributes:
        toy: Whether networks, images and turns are few and small.
        device: Device to run on.
    """

    toy: bool
    device: torch.device

    @property
    def image_size(self) -> int:
        """Side of the images in pixels."""
        return 32 if self.toy else 224

    @property
    def turns(self) -> int:
        """Turns that count."""
        return 1 if self.toy else 7

    @property
    def warm_up_turns(self) -> int:
        """First turns of a step, which do not count."""
        return 1 if self.toy else 3

    def settings(self, family: str) -> TrainingSettings:
        """Published settings of a family."""
        published = read_published()[family]
        small = {"architecture": TOY[family], "batch_size": 4}
        return published.model_copy(update=small) if self.toy else published

    def network(self, family: str) -> Network:
        """Build a network with fresh weights."""
        torch.manual_seed(0)
        architecture = self.settings(family).architecture
        return build_model(family, classes=CLASSES, image_size=self.image_size, channels=CHANNELS, **architecture)

    def images(self, count: int) -> Tensor:
        """Scaled images (N, C, S, S), drawn, on the CPU."""
        size = count, CHANNELS, self.image_size, self.image_size
        return torch.randn(size, generator=torch.Generator().manual_seed(1))

    def package(self, family: str) -> ModelPackage:
        """Package of an untrained network in eval mode, with class means of drawn images."""
        model = self.network(family).to(self.device).train()
        with torch.no_grad():
            model(self.images(4).to(self.device))
        means = class_means(model.eval(), [(self.images(4), torch.arange(4) % 2)])
        means |= {name.replace("true", "predicted"): each for name, each in means.items() if name.startswith("true")}
        return ModelPackage(model, ("R", "G", "B"), SCALE.to_json(), means)


def training_step(options: Options, family: str, precision: str) -> Callable[[], None]:
    """Return one step of the product's training, from a batch in pinned memory."""
    settings, pinned = options.settings(family), options.device.type == "cuda"
    images, labels = options.images(settings.batch_size), torch.arange(settings.batch_size) % 2
    batch = Batch(*(each.pin_memory() if pinned else each for each in (images, labels)), np.arange(len(labels)))
    model = place_network(options.network(family), options.device, precision).train()
    state = TrainingState.start(model, optimizer=settings.optimizer, learning_rate=1e-4, weight_decay=0.0, seed=0)
    loss_options = LossOptions(precision=resolve_precision(precision, options.device.type))

    def step() -> None:
        with float32_precision("ieee" if precision == "fp32" else "tf32"):
            train_batch(state, move_batch(batch, options.device), loss_options, None)

    return step


def measure_step(options: Options) -> Numbers:
    """Images per second of each family's training step, and peaks of memory in GiB beside their estimates."""
    found: Numbers = {}
    for family in FAMILIES:
        settings = options.settings(family)
        for precision in PRECISIONS:
            reset_peak(options.device)
            step = training_step(options, family, precision)
            seconds = median_seconds(
                {precision: step}, turns=options.turns, discarded=options.warm_up_turns, title=family
            )
            found[f"{family}/{precision}/images_per_s"] = settings.batch_size / seconds[precision]
            del step
            if options.device.type == "cuda":
                found[f"{family}/{precision}/peak_gib"] = torch.cuda.max_memory_reserved() / 2**30
                asked = settings.model_copy(update={"precision": precision})
                found[f"{family}/{precision}/estimate_gib"] = estimated_gib(options, family, asked)
    return found


def reset_peak(device: torch.device) -> None:
    """Free what earlier measurements kept, and count the peak of memory anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def estimated_gib(options: Options, family: str, settings: TrainingSettings) -> float:
    """Memory in GiB that the product expects a trial to take on a GPU."""
    with tempfile.TemporaryDirectory() as temporary:
        return estimate_gpu_memory(family, settings, drawn_data(options, Path(temporary))) / 2**30


def measure_waits(options: Options) -> Numbers:
    """Waits for the GPU in one training step of each family, after the first ones."""
    if options.device.type != "cuda":
        return {"skipped": "a CPU is not waited for"}
    found: Numbers = {}
    for family in FAMILIES:
        step = training_step(options, family, "fp32")
        for _ in range(3):
            step()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            step()
            torch.cuda.set_sync_debug_mode("default")
        found[f"{family}/waits"] = sum("synchronizing" in str(each.message) for each in caught)
    return found


def measure_inverse(options: Options) -> Numbers:
    """Images per second of the i-ResNet's inverse, and its largest error in network units."""
    model, images = options.package("iresnet").model, options.images(8).to(options.device)

    def invert() -> None:
        errors.append(inverse_error(model, images) or 0.0)

    errors: list[float] = []
    with float32_precision("tf32"):  # what some programs ask PyTorch for
        seconds = median_seconds({"inverse": invert}, turns=options.turns, discarded=1, title="there and back")
    return {"images_per_s": len(images) / seconds["inverse"], "error": max(errors)}


def measure_counterfactual(options: Options) -> Numbers:
    """Fields per second of counterfactuals."""
    return {"fields_per_s": explaining_speed(options, "iresnet", "counterfactual")}


def explaining_speed(options: Options, family: str, method: str) -> float:
    """Fields per second of one explanation of a batch."""
    package, count = options.package(family), 2 if options.toy else 8
    raw = SCALE.invert(options.images(count).numpy())
    context = ExplanationContext(target=CLASSES[0], change_maps=False)

    def explain() -> None:
        explain_fields(package, raw, [method], context)

    return count / median_seconds({method: explain}, turns=options.turns, discarded=1, title=family)[method]


def measure_occlusion(options: Options) -> Numbers:
    """Maps per second by ours and by Captum, and their largest difference relative to the largest value."""
    if importlib.util.find_spec("captum") is None:
        return {"skipped": "Captum is not installed"}
    from captum.attr import Occlusion

    model = options.package("resnext").model
    image, target = options.images(1).to(options.device), torch.zeros(1, dtype=torch.int64, device=options.device)
    window, stride = (15, 6) if not options.toy else (8, 8)
    sizes = {"sliding_window_shapes": (CHANNELS, window, window), "strides": (CHANNELS, stride, stride)}
    maps: dict[str, Tensor] = {}

    def ours() -> None:
        black = torch.zeros(CHANNELS, device=options.device)
        maps["ours"] = occlusion(model, image, target, window=window, stride=stride, baseline=black)

    def captum() -> None:
        made = Occlusion(model).attribute(image, **sizes, baselines=0.0, target=target, perturbations_per_eval=32)
        maps["captum"] = made.mean(dim=1)

    with float32_precision("ieee"):
        turns = min(options.turns, 3)
        seconds = median_seconds({"ours": ours, "captum": captum}, turns=turns, discarded=1, title="occlusion")
    apart = float((maps["ours"] - maps["captum"]).abs().max() / maps["captum"].abs().max())
    return {f"{name}_maps_per_s": 1 / took for name, took in seconds.items()} | {"difference": apart}


def drawn_data(options: Options, folder: Path) -> PreparedData:
    """Write a small plate of drawn images, and prepare it."""
    from tests.conftest import write_class_folders

    plate = write_class_folders(folder / "plate", size=options.image_size, wells=3, fields=2 if options.toy else 16)
    found = find_images(plate)
    table = found.table.assign(Metadata_Split=assign_split(found.table, seed=0))
    cache = open_cache(table, found.channels, options.image_size, folder / "cache")
    return PreparedData(table, found.channels, CLASSES, cache)


def measure_job(options: Options) -> Numbers:
    """Fields per second of a worker that reads fields, explains them by occlusion, and writes pictures and records."""
    from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, fit_batch_size

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = drawn_data(options, folder)
        data.table.to_parquet(folder / "table.parquet")
        package = options.package("resnext")
        package.channels = tuple(data.channels)
        package.about["display_limits"] = [[0.0, 255.0]] * CHANNELS
        save_package(package, folder / "package")
        order = WorkOrder(str(folder / "package"), str(folder / "table.parquet"), str(folder / "out"), ("occlusion",))
        worker, rows = FieldWorker(order), np.arange(len(data.table))
        size = fit_batch_size(package.model, 1, float(options.device.type == "cuda"))
        (folder / "out" / "parts").mkdir(parents=True)
        worker({"row": rows[:size]})
        begun = time.perf_counter()
        for batch in np.split(rows, range(size, len(rows), size)):
            worker({"row": batch})
        took = time.perf_counter() - begun
        records = [json.loads(path.read_text()) for path in (folder / "out" / "parts").glob("*.json")]
    if failed := [record["failure"] for part in records for record in part if "failure" in record]:
        raise RuntimeError(failed[0])
    return {"fields_per_s": len(rows) / took, "batch_size": size}


SECTIONS: dict[str, Callable[[Options], Numbers]] = {
    "step": measure_step,
    "waits": measure_waits,
    "inverse": measure_inverse,
    "counterfactual": measure_counterfactual,
    "occlusion": measure_occlusion,
    "job": measure_job,
}


def measure(options: Options, names: list[str]) -> Iterator[tuple[str, Numbers, float]]:
    """Measure sections; yields the name of each, its numbers (``failed`` where there are none) and its seconds."""
    for name in names:
        begun = time.perf_counter()
        try:
            found = SECTIONS[name](options)
        except Exception as error:  # the others are measured all the same, and the exit status says it
            traceback.print_exc()
            found = {"failed": f"{type(error).__name__}: {error}"}
        yield name, found, time.perf_counter() - begun


def main() -> None:
    """Measure the sections asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", choices=[*SECTIONS, []], default=[], metavar="SECTION")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args()
    options = Options(given.toy, default_device())
    on_gpu = options.device.type == "cuda"
    results: dict[str, Any] = {"device": torch.cuda.get_device_name() if on_gpu else f"{os.cpu_count()} CPU cores"}
    results |= {"torch": torch.__version__, "image_size": options.image_size}
    for name, found, seconds in measure(options, given.sections or list(SECTIONS)):
        print(f"{name}, {seconds:.0f} s: {json.dumps(found)}", flush=True)
        results[name] = found
    print(json.dumps({"name": "gpu"} | results))
    if any("failed" in found for found in results.values() if isinstance(found, dict)):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
