import pytest
import torch

from leigh_mlops.models import MODELS
from leigh_mlops.training.transfer import freeze_stages, stage_groups
from tests.models.compact import compact, images

families = pytest.mark.parametrize("family", MODELS)


def changed_by_a_step(family: str, *, freeze: bool) -> tuple[set[str], set[str]]:
    """Names of what a training step changed in the head, and below it."""
    model = compact(family).train()
    below = [tensor for stage in model.stages()[:-1] for module in stage for tensor in kept_by(module).values()]
    names = {name for name, tensor in kept_by(model).items() if any(tensor is each for each in below)}
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.Adam(stage_groups(model, 0.01))
    with freeze_stages(model.stages()[:-1] if freeze else []):
        model(images(4)).square().mean().backward()
        optimizer.step()
    # A certified norm, and the vector with which the next one begins, are no part of what is learned.
    now = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith((".sigma", ".v"))}
    changed = {name for name, tensor in now.items() if not torch.equal(before[name], tensor)}
    return changed - names, changed & names


def kept_by(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return module.state_dict(keep_vars=True)


@families
def test_a_frozen_trunk_keeps_weights_and_statistics_and_the_head_learns(family: str) -> None:
    assert all(changed_by_a_step(family, freeze=False))
    head, below = changed_by_a_step(family, freeze=True)
    assert head
    assert not below


@families
def test_what_was_frozen_thaws(family: str) -> None:
    model = compact(family).train()
    with freeze_stages(model.stages()[:-1]):
        assert not all(parameter.requires_grad for parameter in model.parameters())
        assert not all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())


@families
def test_the_rate_falls_with_each_stage_away_from_the_head(family: str) -> None:
    model = compact(family)
    assert {group["lr"] for group in stage_groups(model, 0.1)} == {0.1}
    groups = stage_groups(model, 0.1, 0.5)
    assert [group["lr"] for group in groups[::-1]] == [0.1 * 0.5**away for away in range(len(groups))]
    assert [id(p) for group in groups for p in group["params"]] == [
        id(p) for stage in model.stages() for module in stage for p in module.parameters()
    ]
    assert [len(group["params"]) for group in groups] == [len(group["params"]) for group in stage_groups(model, 0.1)]
