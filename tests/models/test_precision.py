import pytest
import torch

from leigh_mlops.models.precision import float32_precision, full_float32


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
