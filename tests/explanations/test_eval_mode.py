import pytest
import torch
from torch import nn

from leigh_mlops.explanations.eval_mode import evaluating


def test_the_mode_of_every_submodule_is_restored():
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(3)).train()
    model[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == [True, True, False]


def test_it_is_restored_after_an_error():
    model = nn.Dropout().train()
    with pytest.raises(RuntimeError, match="inside"), evaluating(model):
        raise RuntimeError("inside")
    assert model.training
    assert torch.is_grad_enabled()


def test_gradients_and_autocast_are_off_inside():
    layer = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outside = layer(torch.ones(1, 4))
        with evaluating(layer):
            inside = layer(torch.ones(1, 4))
    assert (outside.dtype, outside.requires_grad) == (torch.bfloat16, True)
    assert (inside.dtype, inside.requires_grad) == (torch.float32, False)


def test_tf32_is_off_inside_and_as_it_was_outside():
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = matmul.fp32_precision, conv.fp32_precision
    assert before[1] == "tf32"
    with evaluating(nn.Identity()):
        assert (matmul.fp32_precision, conv.fp32_precision) == ("ieee", "ieee")
    assert (matmul.fp32_precision, conv.fp32_precision) == before
