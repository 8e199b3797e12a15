"""Processor time of the counterfactuals of a field by the published i-ResNet at 224 px, beside an earlier version.

``python -m benchmarks.counterfactual_time --reference CHECKOUT`` explains drawn fields with the same untrained network
and maps between its classes, by this version and by that of another checkout of the repository, in turns and each in a
process of its own: the default kinds, files in memory, change maps. It prints the processor seconds of a field, and
how far pictures and change maps of both versions are apart.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from leigh_mlops.explanations import ExplanationContext, class_means, explain_fields
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, build_model, load_package, save_package
from leigh_mlops.models.transport import ClassMaps, MomentMap

SIDE, CHANNELS = 224, 3
SCALE = IntensityScale("linear", 65535, (0.2,) * CHANNELS, (0.1,) * CHANNELS)
MAPS = {(0, 1): MomentMap(np.full(3, 0.7), np.full(3, 0.5)), (1, 0): MomentMap(np.full(3, 1.4), np.full(3, -0.5))}


def drawn_fields(count: int) -> npt.NDArray[np.float32]:
    """Raw intensities (N, C, S, S)."""
    noise = torch.randn(count, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    return np.clip(np.rint(SCALE.invert(noise.numpy())), 0, SCALE.full_scale).astype(np.float32)


def write_package(folder: Path) -> None:
    """Write the package of an untrained network with its certificate and class means."""
    torch.manual_seed(0)
    model = build_model("iresnet", classes=("DS", "TT"), image_size=SIDE, channels=CHANNELS).train()
    images = torch.from_numpy(SCALE.apply(drawn_fields(4)))
    with torch.no_grad():
        model(images)
    means = class_means(model.eval(), [(images, torch.arange(4) % 2)])
    means |= {name.replace("true", "predicted"): each for name, each in means.items() if name.startswith("true")}
    save_package(ModelPackage(model, ("R", "G", "B"), SCALE.to_json(), means), folder)


def explain(folder: Path, fields: int, out: Path) -> None:
    """Explain drawn fields; print the processor seconds of each, and write pictures and maps."""
    package, raw = load_package(folder / "package"), drawn_fields(fields)
    package.class_maps = ClassMaps({"transport": MAPS})
    context = ExplanationContext(kinds=("boundary", "typical"))
    before = resource.getrusage(resource.RUSAGE_SELF)
    found = explain_fields(package, raw, ["counterfactual"], context, lambda place, kind, image: np.rint(image))
    after = resource.getrusage(resource.RUSAGE_SELF)
    pictures = {f"{place}/{name}": each.images[name] for place, each in enumerate(found) for name in each.images}
    maps = {f"{place}/{name}": each.maps[name] for place, each in enumerate(found) for name in each.maps}
    np.savez(out, **pictures, **maps)
    print((after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) / fields)


def largest_differences(ours: Path, theirs: Path) -> dict[str, float]:
    """Largest difference of each kind of array, relative to its largest value."""
    found: dict[str, float] = {}
    with np.load(ours) as one, np.load(theirs) as other:
        if one.files != other.files:
            raise SystemExit(f"One version makes {one.files}, the other one {other.files}.")
        for name in one.files:
            apart = float(np.abs(one[name] - other[name]).max() / np.abs(other[name]).max())
            kind = name.split("/")[1]
            found[kind] = max(found.get(kind, 0.0), apart)
    return found


def compare(reference: Path, fields: int, turns: int) -> None:
    """Run both versions in turns and print the medians."""
    seconds: dict[str, list[float]] = {"ours": [], "reference": []}
    checkouts = {"reference": reference, "ours": Path(__file__).parents[1]}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_package(folder / "package")
        for _ in range(turns):
            for name, checkout in checkouts.items():
                command = [sys.executable, __file__, "--inside", str(folder), "--fields", str(fields)]
                command += ["--out", str(folder / f"{name}.npz")]
                done = subprocess.run(
                    command, check=True, stdout=subprocess.PIPE, text=True,
                    env=os.environ | {"PYTHONPATH": str(checkout)},
                )  # fmt: skip
                seconds[name].append(float(done.stdout.split()[-1]))
                print(f"{name}: {seconds[name][-1]:.2f} processor seconds a field", flush=True)
        print(json.dumps(largest_differences(folder / "ours.npz", folder / "reference.npz")))
    ours, theirs = (float(np.median(each)) for each in seconds.values())
    numbers = {"ours": ours, "reference": theirs, "ratio": ours / theirs, "bar": 0.5}
    print(json.dumps({"name": "counterfactual", "unit": "processor seconds a field"} | numbers))


def main() -> None:
    """Compare two versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reference", type=Path, help="another checkout of the repository")
    parser.add_argument("--fields", type=int, default=8)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        explain(given.inside, given.fields, given.out)
    elif given.reference:
        compare(given.reference.resolve(), given.fields, given.turns)
    else:
        parser.error("give --reference, another checkout of the repository")


if __name__ == "__main__":
    main()
