import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.models.device import default_device, is_supported


@pytest.mark.parametrize(
    ("capability", "architecture", "expected"),
    [
        ((8, 6), "sm_80", True),
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80", False),
        ((12, 0), "sm_120", True),
        ((12, 0), "compute_90", True),
        ((6, 0), "compute_70", False),
        ((9, 0), "sm_90a", True),
        ((10, 0), "sm_90a", False),
        ((9, 0), "gfx90a", False),
    ],
)
def test_code_is_supported_its_own_generation_and_intermediate_code_on_later_ones(
    capability: tuple[int, int], architecture: str, expected: bool
) -> None:
    assert is_supported(capability, [architecture]) == expected
    assert is_supported(capability, [architecture, f"sm_{capability[0]}{capability[1]}"])


def test_a_card_that_the_build_does_not_know_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 1))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Quadro P620")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_61"])
    assert default_device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_90"])
    with pytest.raises(LeighError, match=r"has code for sm_75, sm_90, but none for the Quadro P620 .*sm_61.*; install"):
        default_device()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")
