import numpy as np
import pytest
import torch

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import ExplanationContext, class_means, explain_fields
from leigh_mlops.explanations.counterfactuals.alpha_sweep import counterfactual_sweep, decode_sweep, sweep_alphas
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage


@pytest.fixture
def latents(flow, images):
    return flow.encode(images[:5]), flow.encode(images[5:10])


@pytest.mark.parametrize("images_per_pass", [1, 3, 100])
def test_each_frame_is_the_image_at_its_alpha(flow, images, latents, images_per_pass):
    z, delta = latents
    frames = decode_sweep(flow, z, delta, torch.tensor([0.0, 0.5, 2.0]), images_per_pass=images_per_pass)
    assert frames.shape == (3, 5, 2, 3, 3)
    assert not torch.allclose(frames[1], frames[0])
    torch.testing.assert_close(frames[0], images[:5])
    for frame, alpha in zip(frames, (0.0, 0.5, 2.0), strict=True):
        torch.testing.assert_close(frame, flow.decode(z + alpha * delta))


def test_each_image_may_have_alphas_of_its_own(coder, latents):
    z, delta = latents
    alphas = sweep_alphas(torch.arange(1.0, 6.0, dtype=torch.float64), 4)
    frames = decode_sweep(coder, z, delta, alphas)
    for step in range(4):
        for place in range(5):
            alone = coder.decode(z[place : place + 1] + alphas[step, place] * delta[place : place + 1])
            torch.testing.assert_close(frames[step, place], alone[0])


def test_alphas_go_from_the_original_past_the_step():
    alphas = sweep_alphas(torch.tensor([1.0, -2.0]), 6)
    assert alphas[0].tolist() == [0, 0]
    assert alphas[-1].tolist() == [1.25, -2.5]
    assert alphas[4].tolist() == [1.0, -2.0]
    with pytest.raises(LeighError, match="1 steps is too short"):
        sweep_alphas(torch.ones(1), 1)


def test_what_cannot_be_asked(flow, classifier, latents):
    z, delta = latents
    with pytest.raises(LeighError, match="a sweep needs a model that can decode"):
        decode_sweep(classifier, z, delta, torch.zeros(2))
    for alphas in (torch.zeros(0), torch.zeros(2, 4)):
        with pytest.raises(ValueError, match="do not fit"):
            decode_sweep(flow, z, delta, alphas)
    with pytest.raises(ValueError, match="do not fit"):
        decode_sweep(flow, z, delta[:1], torch.zeros(2))


def test_the_sweep_of_a_counterfactual_goes_from_the_image_through_it_and_past_it(flow, images):
    scale, images = IntensityScale("linear", 255, (0.2, 0.3), (0.1, 0.2)), images.float()
    flow.float()
    means = class_means(flow, [(images, torch.arange(40) % 2)])
    package, raw = ModelPackage(flow, ("DAPI", "TMRM"), scale.to_json(), means), scale.invert(images[:1].numpy())
    (found,) = explain_fields(package, raw, ["counterfactual"], ExplanationContext(), lambda place, kind, image: image)
    made = found.verified["confident"]
    frames, alphas = counterfactual_sweep(package, made, 6)
    assert alphas == pytest.approx([0.25 * step * made.alpha for step in range(6)])
    assert np.abs(made.image - raw[0]).max() > 1
    np.testing.assert_allclose(frames[0], raw[0], atol=1e-2)
    np.testing.assert_allclose(frames[4], made.image, atol=1e-2)
    np.testing.assert_allclose(frames[5] - frames[4], frames[1] - frames[0], atol=1e-1)
