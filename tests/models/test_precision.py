import pytest
import torch

from leigh_mlops.models import precision
from leigh_mlops.models.precision import float32_precision, full_float32, has_bf16_units, resolve_precision


def settings() -> tuple[str, str]:
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision


@pytest.mark.parametrize("kind", ["ieee", "tf32"])
def test_both_settings_are_those_inside_and_as_they_were_outside(kind: str) -> None:
    before, seen = settings(), []

    def fail() -> None:
        with float32_precision(kind):
            seen.append(settings())
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert seen == [(kind, kind)]
    assert settings() == before


def test_full_float32_ends_autocast_and_tf32() -> None:
    layer = torch.nn.Linear(2, 2)
    with torch.autocast("cpu", torch.bfloat16), float32_precision("tf32"):
        assert layer(torch.ones(1, 2)).dtype == torch.bfloat16
        with full_float32():
            assert layer(torch.ones(1, 2)).dtype == torch.float32
            assert settings() == ("ieee", "ieee")
        assert settings() == ("tf32", "tf32")


@pytest.mark.parametrize(("units", "expected"), [(True, "bf16"), (False, "fp32")])
def test_auto_is_bf16_where_family_and_machine_are_made_for_it(
    monkeypatch: pytest.MonkeyPatch, units: bool, expected: str
) -> None:
    monkeypatch.setattr(precision, "has_bf16_units", lambda device_type: units)
    assert resolve_precision("auto", "cpu", True) == expected
    assert resolve_precision("auto", "cpu", False) == "fp32"
    assert [resolve_precision(asked, "cpu", True) for asked in ("fp32", "bf16", "tf32")] == ["fp32", "bf16", "fp32"]


@pytest.mark.parametrize("found", [{}, {"amx_bf16": False}, {"amx_bf16": True, "avx512_bf16": True}])
def test_a_processor_is_made_for_bf16_where_it_has_amx(monkeypatch: pytest.MonkeyPatch, found: dict[str, bool]) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert has_bf16_units("cpu") == found.get("amx_bf16", False)


def test_a_gpu_that_only_emulates_bf16_is_not_made_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not has_bf16_units("cuda")
