import math

import pytest
import torch

from benchmarks import gpu
from leigh_mlops.models.device import default_device


@pytest.mark.parametrize("name", gpu.SECTIONS)
def test_every_section_measures_at_toy_size(name: str) -> None:
    ((measured, found, seconds),) = gpu.measure(gpu.Options(toy=True, device=default_device()), [name])
    assert measured == name
    assert seconds > 0
    numbers = [value for value in found.values() if isinstance(value, int | float)]
    assert "failed" not in found
    assert all(math.isfinite(value) for value in numbers)
    assert bool(numbers) != ("skipped" in found)


def test_a_section_that_fails_says_so_and_the_next_one_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(options: gpu.Options) -> gpu.Numbers:
        raise RuntimeError("no kernel")

    monkeypatch.setitem(gpu.SECTIONS, "inverse", fail)
    options = gpu.Options(toy=True, device=torch.device("cpu"))
    found = {name: numbers for name, numbers, _ in gpu.measure(options, ["inverse", "waits"])}
    assert found["inverse"] == {"failed": "RuntimeError: no kernel"}
    assert found["waits"] == {"skipped": "a CPU is not waited for"}
