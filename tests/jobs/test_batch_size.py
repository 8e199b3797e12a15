from types import SimpleNamespace

import psutil
import pytest

from leigh_mlops.jobs.batch_size import fit_batch_size
from leigh_mlops.models import build_model
from leigh_mlops.training import image_bytes

GIB = 2**30


@pytest.mark.parametrize("workers", [1, 4])
def test_batches_are_as_large_as_memory_and_no_larger(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = build_model("resnext", classes=["A", "B"], image_size=64, channels=3)
    one = image_bytes(model)
    sizes = []
    for images in (0.5, 2, 6, 1000):
        free = SimpleNamespace(available=int(2 * images * one * workers))
        monkeypatch.setattr(psutil, "virtual_memory", lambda free=free: free)
        sizes.append(fit_batch_size(model, workers))
    assert sizes == [1, 2, 6, 8]


def test_an_image_takes_more_where_it_is_larger() -> None:
    sizes = [
        image_bytes(build_model("resnext", classes=["A", "B"], image_size=size, channels=3)) for size in (32, 64, 224)
    ]
    assert sizes[0] < sizes[1] < sizes[2]
    assert 3 < sizes[1] / sizes[0] < 5
    # Activations of ResNeXt50 at 224 px, kept for the way back: some 25 million numbers of four bytes.
    assert 0.08 * GIB < sizes[2] < 0.3 * GIB
