import pytest
import torch
from torch import nn

from leigh_mlops.errors import LeighError
from leigh_mlops.models import MODELS, ModelSpec, build_model, has_capability, load_model, save_model
from leigh_mlops.settings import UNLABELLED_FAMILIES
from tests.models.compact import CLASSES, COMPACT, LATENTS, compact, images, trained

families = pytest.mark.parametrize("family", MODELS)


@families
@pytest.mark.parametrize("channels", [2, 3])
def test_shapes_are_those_of_the_contract(family, channels):
    model, x = trained(family, channels=channels), images(2, channels=channels)
    output, z = model(x), model.encode(x)
    classes = {"classify": len(CLASSES), "cluster": 4}.get(model.task)
    assert output.shape == (x.shape if classes is None else (2, classes))
    assert z.shape == (2, *LATENTS[family])
    if has_capability(model, "decode"):
        assert model.decode(z).shape == x.shape


@families
def test_output_is_composed_of_what_the_model_can(family):
    model, x = trained(family), images(2)
    second = model.classify if has_capability(model, "classify") else model.decode
    assert torch.equal(model(x), second(model.encode(x)))
    assert (model.task != "reconstruct") == has_capability(model, "classify")


@families
def test_a_loaded_model_is_in_eval_mode_and_computes_the_same_bits(family, tmp_path):
    model, x = trained(family), images(2)
    save_model(model, tmp_path)
    assert not torch.equal(compact(family, seed=7).eval()(x), model(x))
    state = torch.get_rng_state()
    loaded = load_model(tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    assert not loaded.training
    assert loaded.spec == model.spec
    assert torch.equal(loaded(x), model(x))
    if has_capability(model, "decode"):
        z = model.encode(x)
        assert torch.equal(loaded.decode(z), model.decode(z))


@families
def test_a_model_saved_in_training_mode_loads_as_what_its_eval_mode_is(family, tmp_path):
    model = trained(family).train()
    model(images(4))
    save_model(model, tmp_path)
    assert torch.equal(load_model(tmp_path)(images(2)), model.eval()(images(2)))


@families
def test_an_image_does_not_depend_on_its_batch(family):
    model, x = trained(family).double(), images(5, dtype=torch.float64)
    x[1:] *= 7
    alone, among = model.encode(x[:1]), model.encode(x)[:1]
    torch.testing.assert_close(alone, among, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model(x[:1]), model(x)[:1], rtol=1e-12, atol=1e-12)
    if has_capability(model, "decode"):
        z = model.encode(x)
        torch.testing.assert_close(model.decode(z[:1]), model.decode(z)[:1], rtol=1e-11, atol=1e-11)


@families
def test_eval_mode_changes_nothing_and_training_reaches_every_parameter(family):
    model = trained(family)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model(images(3))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    model.train()(images(3)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@families
def test_stages_lead_from_the_image_to_the_head_and_have_each_parameter_once(family):
    model, called = compact(family).eval(), []
    stages = model.stages()
    parameters = [id(parameter) for stage in stages for module in stage for parameter in module.parameters()]
    assert len(stages) > 2
    assert sorted(parameters) == sorted(map(id, model.parameters()))
    for number, stage in enumerate(stages):
        for module in stage:
            module.register_forward_hook(lambda *_, number=number: called.append(number))
    model(images(1))
    assert called == sorted(called)
    assert set(called) == set(range(len(stages)))


@families
def test_gradients_reach_the_image_in_eval_mode(family):
    model, x = trained(family), images(1).requires_grad_()
    with torch.inference_mode():
        model(x.detach())
    model(x).square().sum().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


@families
def test_the_spec_is_complete_json_and_builds_the_same_shapes(family):
    model = compact(family)
    again = ModelSpec.from_json(model.spec.to_json())
    assert again == model.spec
    rebuilt = build_model(
        again.family, classes=again.classes, image_size=again.image_size, channels=again.channels, **again.architecture
    )
    shapes = [{name: tensor.shape for name, tensor in each.state_dict().items()} for each in (model, rebuilt)]
    assert shapes[0] == shapes[1]


def test_there_is_a_compact_version_of_each_family():
    assert list(COMPACT) == list(MODELS)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            {"family": "vgg"},
            "'vgg' is not a family of networks; choose one of resnext, autoencoder, iresnet, backbone, deepcluster",
        ),
        ({"image_size": 100}, "image_size is 100, which is not a multiple of 32 pixels; the nearest is 96"),
        ({"image_size": 0}, "image_size is 0; give a whole number from 1"),
        ({"channels": 0}, "channels is 0"),
        ({"classes": ["WT"]}, "got 1; give images of more classes"),
        ({"classes": ["WT", "WT"]}, "are not unique"),
        (
            {"depth": 3},
            "'depth' is not an architecture parameter of resnext; choose from layers, groups, width_per_group",
        ),
        ({"spec": 3}, "'spec' is not an architecture parameter"),
        ({"layers": [1, 2]}, r"layers is \[1, 2\]; give a list of 4 whole numbers"),
        ({"layers": "1111"}, "give a list of 4"),
        ({"layers": [1, 1, 1, True]}, r"layers\[3\] is True"),
        ({"groups": 10**9}, "groups is 1000000000; give a whole number from 1 to 1024"),
        ({"dropout": "0.4"}, "dropout is '0.4'; give a number from 0 to 1"),
    ],
)
def test_what_is_wrong_with_a_model_is_said_with_the_remedy(change, text):
    with pytest.raises(LeighError, match=text):
        build_model(**{"family": "resnext", "classes": CLASSES, "image_size": 32} | change)


def test_an_autoencoder_needs_no_classes():
    assert build_model("autoencoder", classes=[], image_size=32).spec.classes == ()


def test_can_knows_three_capabilities():
    assert [has_capability(nn.Identity(), capability) for capability in ("encode", "decode", "classify")] == [False] * 3
    with pytest.raises(ValueError, match="encode, decode or classify"):
        has_capability(nn.Identity(), "fly")


def test_families_that_need_no_labels_are_named_without_loading_them():
    assert {name for name, kind in MODELS.items() if not kind.needs_labels} == set(UNLABELLED_FAMILIES)
    for name in UNLABELLED_FAMILIES:
        assert build_model(name, classes=(), image_size=32).task != "classify"
