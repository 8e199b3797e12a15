import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from leigh_mlops.errors import LeighError
from leigh_mlops.explanations import class_means
from leigh_mlops.explanations.counterfactuals.class_means import RunningClassMeans, require_means


@given(cuts=st.lists(st.integers(1, 49), max_size=8))
def test_every_partition_into_batches_gives_the_mean(cuts):
    rng = np.random.default_rng(0)
    latents, groups = rng.normal(1e3, 1, (50, 2, 3)), rng.integers(3, size=50)
    running = RunningClassMeans(3)
    for rows in np.split(np.arange(50), sorted(set(cuts))):
        running.update(torch.from_numpy(latents[rows]), torch.from_numpy(groups[rows]))
    expected = [latents[groups == group].mean(axis=0) for group in range(3)]
    np.testing.assert_allclose(running.means().numpy(), expected, rtol=1e-13)
    around = [np.square(latents[groups == group] - mean).sum(axis=(1, 2)) for group, mean in enumerate(expected)]
    np.testing.assert_allclose(running.spread().numpy(), [np.sqrt(each.mean()) for each in around], rtol=1e-10)
    assert running.counts.tolist() == np.bincount(groups).tolist()


def test_float32_latents_are_summed_in_float64():
    latents = torch.full((4096, 1), 16777217.0 / 3)
    running = RunningClassMeans(1)
    for latent in latents:
        running.update(latent[None], torch.tensor([0]))
    assert float(sum(latents)) / 4096 != float(latents[0])
    assert float(running.means()) == float(latents[0])


def test_a_small_spread_far_from_zero_is_not_lost():
    values = 1e8 + torch.tensor([[-1.0], [1.0]], dtype=torch.float64).repeat(500, 1)
    running = RunningClassMeans(1)
    running.update(values, torch.zeros(1000, dtype=torch.int64))
    assert float((values.square().mean() - values.mean() ** 2).abs().sqrt()) != pytest.approx(1, abs=1e-3)
    assert float(running.spread()) == pytest.approx(1, abs=1e-6)


class Largest(TorchDispatchMode):
    """Bytes of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        views = isinstance(made, torch.Tensor) and made._is_view()
        if isinstance(made, torch.Tensor) and not views:
            self.bytes = max(self.bytes, made.untyped_storage().nbytes())
        return made


def test_no_copy_of_a_batch_is_made():
    latents, groups = torch.randn(64, 100), torch.arange(64) % 2
    with Largest() as copied:
        latents.double()
    assert copied.bytes == 64 * 100 * 8
    running = RunningClassMeans(2)
    with Largest() as largest:
        running.update(latents, groups)
        running.means()
    assert 0 < largest.bytes <= 2 * 100 * 8


def test_a_class_without_a_sample_is_zero_and_flagged():
    running = RunningClassMeans(3)
    running.update(torch.ones(2, 4), torch.tensor([0, 2]))
    assert running.counts.tolist() == [1, 0, 1]
    assert running.means()[1].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize(
    ("latents", "groups", "message"),
    [
        (torch.ones(2, 1), torch.tensor([0, 2]), "integers from 0 to 1"),
        (torch.ones(2, 1), torch.tensor([0, -1]), "integers from 0 to 1"),
        (torch.ones(2, 1), torch.tensor([0]), "2 integers"),
        (torch.tensor([[torch.nan]]), torch.tensor([0]), "NaN or infinite"),
    ],
)
def test_batches_that_would_spoil_the_means(latents, groups, message):
    with pytest.raises(ValueError, match=message):
        RunningClassMeans(2).update(latents, groups)


def test_no_batch_has_no_mean():
    with pytest.raises(ValueError, match="no batch"):
        RunningClassMeans(2).means()


def test_class_means_by_true_and_predicted_class(flow, images):
    labels = torch.arange(40) % 2
    predicted = flow(images).argmax(dim=1)
    assert 0 < (labels != predicted).sum() < 40
    flow.train()
    means = class_means(flow, zip(images.split(7), labels.split(7), strict=True))
    assert flow.training
    flow.eval()
    for kind, groups in {"true": labels, "predicted": predicted}.items():
        expected = torch.stack([flow.encode(images[groups == k]).mean(dim=0) for k in (0, 1)])
        torch.testing.assert_close(means[kind], expected)
        assert means[f"{kind}_counts"].tolist() == groups.bincount().tolist()
        latents = flow.encode(images)
        around = torch.stack([(latents[groups == k] - expected[k]).square().sum(dim=(1, 2)).mean() for k in (0, 1)])
        torch.testing.assert_close(means[f"{kind}_spread"], around.sqrt())


def test_a_model_that_does_not_classify_has_true_means_alone(coder, images):
    means = class_means(coder, [(images, torch.zeros(40, dtype=torch.int64))])
    assert set(means) == {"true", "true_counts", "true_spread"}
    assert means["true_counts"].tolist() == [40, 0]


def test_missing_means_are_named():
    means = {"true": torch.zeros(2, 1), "true_counts": torch.tensor([1, 0])}
    assert require_means(means, ("true",), [0], ["DS", "WT"]) is means
    with pytest.raises(LeighError, match="No training image is WT"):
        require_means(means, ("true",), [0, 1], ["DS", "WT"])
    with pytest.raises(LeighError, match="no class means by true and predicted class"):
        require_means(means, ("true", "predicted"), [0], ["DS", "WT"])
    with pytest.raises(LeighError, match="no class means by true class"):
        require_means(None, ("true",), [0], ["DS", "WT"])
