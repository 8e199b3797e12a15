from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.counterfactuals.endpoints import Endpoints
from leigh_mlops.explanations.counterfactuals.generation import compute_counterfactuals
from leigh_mlops.explanations.counterfactuals.verification import MAX_ATTEMPTS, verify_counterfactuals
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import InverseError

SCALE = IntensityScale("linear", 255, (0.2, 0.3), (0.1, 0.2))


class Files:
    """Files in memory that keep a share of the change; what is lost is lost by writing."""

    def __init__(self, originals, kept=1.0):
        self.originals, self.kept, self.written, self.now = originals, kept, [], {}

    def __call__(self, place, kind, image):
        self.written.append((place, kind))
        original = self.originals[place]
        self.now[place, kind] = (original + self.kept * (image - original)).astype(np.float32)
        return self.now[place, kind]


@pytest.fixture
def made(flow, images):
    """The flow in float32, which files are, with counterfactuals of six images."""
    flow.float()
    images = images.float()
    means = class_means(flow, [(images, flow(images).argmax(dim=1))])
    some = images[:6]
    kinds = ("boundary", "confident")
    found = compute_counterfactuals(flow, flow.encode(some), None, means, kinds=kinds, confidence=0.9)
    assert all(each.reached.all() for each in found.values())
    return found, means, SCALE.invert(some.numpy())


def test_a_file_that_holds_the_change_is_certified_at_the_first_attempt(flow, made):
    found, means, originals = made
    files = Files(originals)
    certified = verify_counterfactuals(flow, found, SCALE, means, files, confidence=0.9)
    assert len(files.written) == 12
    for kind, each in certified.items():
        for place, file in each.items():
            assert file.attempts == 1
            assert file.reencoding_error < 1e-3
            assert file.alpha == float(found[kind].alpha[place])
            np.testing.assert_array_equal(file.saved, files.now[place, kind])
            assert file.target == found[kind].target[place]
            assert file.probability == pytest.approx(0.9 if kind == "confident" else 0.5, abs=1e-3)


def test_what_is_measured_is_what_the_file_holds(flow, made):
    found, means, originals = made
    certified = verify_counterfactuals(flow, found, SCALE, means, Files(originals, kept=0.0), confidence=0.9)
    for place, file in certified["boundary"].items():
        target = int(found["boundary"].target[place])
        assert file.predicted_class == 1 - target
        assert file.probability == pytest.approx(float(np.exp(file.log_probs[target])))
        assert file.margin == pytest.approx(file.log_probs[target] - file.log_probs[1 - target])
        assert file.reencoding_error == pytest.approx(1, abs=1e-3)
        far = (flow.encode(torch.from_numpy(SCALE.apply(file.saved))[None])[0] - means["true"][target]).norm()
        assert file.distance == pytest.approx(float(far / means["true_spread"][target]), rel=1e-4)


def test_confident_steps_grow_until_the_file_is_confident(flow, made):
    found, means, originals = made
    files = Files(originals, kept=0.8)
    certified = verify_counterfactuals(flow, found, SCALE, means, files, confidence=0.9)
    for place, file in certified["confident"].items():
        assert 1 < file.attempts <= MAX_ATTEMPTS
        first = float(found["confident"].alpha[place])
        assert file.alpha == pytest.approx(first * (1, 1.1, 1.3, 1.7, 2.5)[file.attempts - 1])
        assert file.probability >= 0.88
        np.testing.assert_array_equal(file.saved, files.now[place, "confident"])
    assert {file.attempts for file in certified["boundary"].values()} == {1}


def test_after_five_attempts_the_surest_is_in_the_file(flow, made):
    found, means, originals = made
    files = Files(originals, kept=-0.5)  # the longer the step, the farther from the target
    certified = verify_counterfactuals(flow, found, SCALE, means, files, confidence=0.9)
    for place, file in certified["confident"].items():
        assert file.attempts == MAX_ATTEMPTS
        assert file.alpha == float(found["confident"].alpha[place])
        assert file.predicted_class != found["confident"].target[place]
        np.testing.assert_array_equal(file.saved, files.now[place, "confident"])


def test_a_step_that_never_arrived_is_not_made_longer(flow, made):
    found, means, originals = made
    assert (
        verify_counterfactuals(flow, found, SCALE, means, Files(originals, kept=0.8), confidence=0.9)["confident"][
            2
        ].attempts
        > 1
    )
    lost = replace(found["confident"], reached=torch.arange(6) != 2)
    files = verify_counterfactuals(
        flow, found | {"confident": lost}, SCALE, means, Files(originals, kept=0.8), confidence=0.9
    )
    assert [file.attempts > 1 for file in files["confident"].values()] == [True, True, False, True, True, True]


def test_a_longer_step_that_no_file_holds_leaves_the_first(flow, made, monkeypatch):
    """The log scale makes intensities of any size."""
    found, means, originals = made
    decode, scale = flow.decode, replace(SCALE, transform="log")
    files = verify_counterfactuals(flow, found, scale, means, Files(originals, kept=0.8), confidence=0.9)["confident"]
    assert max(file.attempts for file in files.values()) > 2
    monkeypatch.setattr(flow, "decode", lambda latents: 1e4 + decode(latents))
    files = verify_counterfactuals(flow, found, scale, means, Files(originals, kept=0.8), confidence=0.9)["confident"]
    assert max(file.attempts for file in files.values()) == 2
    assert all(np.isfinite(file.saved).all() for file in files.values())


def test_a_longer_step_that_cannot_be_inverted_leaves_the_first(flow, made, monkeypatch):
    found, means, originals = made

    def fails(latents):
        raise InverseError("block 1 of stage 1 did not converge")

    monkeypatch.setattr(flow, "decode", fails)
    certified = verify_counterfactuals(flow, found, SCALE, means, Files(originals, kept=0.8), confidence=0.9)
    assert {file.attempts for file in certified["boundary"].values()} == {1}
    assert {file.attempts for file in certified["confident"].values()} == {2}
    for place, file in certified["confident"].items():
        assert file.alpha == float(found["confident"].alpha[place])


def test_a_longer_step_that_cannot_be_inverted_is_that_of_one_field(flow, made, monkeypatch):
    found, means, originals = made
    before = verify_counterfactuals(flow, found, SCALE, means, Files(originals, kept=0.8), confidence=0.9)
    assert all(file.attempts > 1 for file in before["confident"].values())
    step, decode = found["confident"], flow.decode
    broken = step.latent[2] + 1.1 * (step.shifted[2] - step.latent[2])

    def fails_for_one(latents):
        if any(torch.allclose(latent, broken) for latent in latents):
            raise InverseError("block 1 of stage 1 did not converge")
        return decode(latents)

    monkeypatch.setattr(flow, "decode", fails_for_one)
    after = verify_counterfactuals(flow, found, SCALE, means, Files(originals, kept=0.8), confidence=0.9)
    assert after["confident"][2].alpha == float(step.alpha[2])
    assert after["confident"][2].attempts == 2
    for place in (0, 1, 3, 4, 5):
        assert after["confident"][place].attempts == before["confident"][place].attempts
        np.testing.assert_array_equal(after["confident"][place].saved, before["confident"][place].saved)


class Pixels(nn.Module):
    """Three pixels are the latent, and the logits."""

    def __init__(self):
        super().__init__()
        self.spec = SimpleNamespace(classes=["DS", "TT", "WT"], channels=1, image_size=1)

    def encode(self, images):
        return images[:, :, 0]

    def decode(self, latents):
        return latents[:, :, None]

    def classify(self, latents):
        return latents.flatten(1)


def test_a_file_that_is_the_target_is_better_than_a_surer_one_that_is_not():
    model, means = Pixels(), {kind: torch.eye(3)[:, None] for kind in ("true", "predicted")}
    scale = IntensityScale("linear", 255, (0.0,), (1.0,))
    latent = torch.tensor([[[0.5, 0.3, 0.2]]]).log()
    steps = compute_counterfactuals(model, latent, 1, means, kinds=["confident"], confidence=0.9)
    assert steps["confident"].reached.all()
    written = []

    def as_saved(place, kind, image):
        written.append(image)
        probabilities = [0.3, 0.4, 0.3] if len(written) == 1 else [1e-9, 0.45, 0.55]
        return scale.invert(np.log(np.array(probabilities, np.float32))[None, None])

    kept = verify_counterfactuals(model, steps, scale, means, as_saved, confidence=0.9)["confident"][0]
    assert kept.attempts == MAX_ATTEMPTS
    np.testing.assert_allclose(np.exp(kept.log_probs), [0.3, 0.4, 0.3], atol=1e-5)
    np.testing.assert_array_equal(written[-1], written[0])


@pytest.mark.parametrize("lost", [0, 1])
def test_a_typical_image_that_its_file_holds_exactly_is_not_encoded_again(flow, images, lost, monkeypatch):
    flow.float()
    images = images.float()
    means = class_means(flow, [(images, flow(images).argmax(dim=1))])
    some = images[:6]
    raw = np.rint(SCALE.invert(some.flip(0).numpy()))
    typical = torch.from_numpy(SCALE.apply(raw).astype(np.float32))
    endpoints = Endpoints(typical, flow.encode(typical))
    latents = flow.encode(some)
    found = compute_counterfactuals(flow, latents, None, means, kinds=["typical"], endpoints=endpoints)
    seen, encode = [], flow.encode
    monkeypatch.setattr(flow, "encode", lambda batch: seen.append(len(batch)) or encode(batch))
    files = verify_counterfactuals(
        flow, found, SCALE, means,
        lambda place, kind, image: np.rint(image) + lost * (place == 2), confidence=0.9,
    )["typical"]  # fmt: skip
    assert seen == [1] * lost
    for place, file in files.items():
        again = encode(torch.from_numpy(SCALE.apply(file.saved).astype(np.float32))[None])
        logits = flow.classify(again)[0].double()
        np.testing.assert_allclose(file.log_probs, logits.log_softmax(0).detach(), rtol=1e-5, atol=1e-5)
        assert (file.reencoding_error == 0) == (not lost or place != 2)


def test_means_of_an_older_model_know_no_distance(flow, made):
    found, means, originals = made
    older = {name: tensor for name, tensor in means.items() if not name.endswith("_spread")}
    certified = verify_counterfactuals(flow, found, SCALE, older, Files(originals), confidence=0.9)
    assert all(np.isnan(file.distance) for file in certified["boundary"].values())
