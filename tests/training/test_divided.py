"""Two processes that divide each batch give what one gives."""

import multiprocessing
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch import distributed as dist

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Division
from leigh_mlops.training import PreparedData, divided, run_trial, save_checkpoint
from leigh_mlops.training.processes import DividedTrial, LostProcessError, join_processes, run_divided_trial
from tests.training.conftest import two_plates
from tests.training.test_loop import METRIC, SMALL, numbers, settings

RANKS = 2
# Batches of 7 and a last one of fewer make portions that differ. Steps of SGD are in proportion to gradients,
# while Adam would turn rounding errors of gradients that are zero into whole steps.
OPTIONS = {"batch_size": 7, "epochs": 2, "optimizer": "sgd", "learning_rate": 0.001, "class_weights": "balanced"}
DENSITY = {"architecture": SMALL["iresnet"] | {"padded_channels": None, "head": "gaussian", "log_det": "roulette"}}
CASES = {
    "resnext": settings("resnext", **OPTIONS),
    "adapted": settings("resnext", adaptation="controls", **OPTIONS),
    "autoencoder": settings("autoencoder", **OPTIONS),
    "iresnet": settings("iresnet", **OPTIONS),
    "density": settings("iresnet", **OPTIONS, **DENSITY),
    "variational": settings("autoencoder", **OPTIONS, architecture={"variational": True}),
}
FAMILIES = {"adapted": "resnext", "density": "iresnet", "variational": "autoencoder"}
# Those with statistics of BatchNorm, and with vectors of the power iteration.
RESUMED = ("adapted", "iresnet")


@dataclass
class Training:
    """Metrics of each epoch, and the weights after the last."""

    metrics: list[dict[str, float]] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def train(case: str, data: Path, division: Division, checkpoint: Path | None = None) -> Training:
    family, training = FAMILIES.get(case, case), Training()
    prepared = PreparedData.load(data)
    options = {"metric": METRIC[family], "seed": 5, "checkpoint": checkpoint, "division": division}
    for epoch in run_trial(family, CASES[case], prepared, **options):
        training.metrics += numbers([epoch])
        training.weights = {name: values.clone() for name, values in epoch.state.model.state_dict().items()}
        if checkpoint is None and epoch.number == 1 and division.rank == 0:
            save_checkpoint(epoch.state, data.parent / f"{case}{division.ranks}")
    return training


def train_divided(data: Path, meeting: Path, rank: int) -> dict[str, Training]:
    """All cases, some again from the checkpoint after the first epoch, and one whose BatchNorms see portions alone."""
    division, done = Division(rank, RANKS), {}
    with join_processes(division, meeting):
        for case in CASES:
            done[case] = train(case, data, division)
        dist.barrier()
        for case in RESUMED:
            done[f"{case} resumed"] = train(case, data, division, data.parent / f"{case}{RANKS}")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(divided, "shared_batch", lambda model, portion: nullcontext())
            done["apart"] = train("autoencoder", data, division)
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data of two plates with controls.

    At 32 px the last maps of a ResNeXt have one pixel, and the few controls of a portion give statistics by which
    rounding errors grow to percents, in one process as well.
    """
    folder = tmp_path_factory.mktemp("divided")
    two_plates(folder, 64).save(folder / "data")
    return folder / "data"


@pytest.fixture(scope="module")
def two(folder: Path) -> dict[str, Training]:
    """Trainings by two processes, this one the first."""
    meeting = folder.parent / "meeting"
    follower = multiprocessing.get_context("spawn").Process(target=train_divided, args=(folder, meeting, 1))
    follower.start()
    done = train_divided(folder, meeting, 0)
    follower.join()
    assert follower.exitcode == 0
    return done


def assert_alike(one: Training, other: Training) -> None:
    for mine, yours in zip(one.metrics, other.metrics, strict=True):
        # Quotients of small differences, such as Z', are less exact than losses.
        losses = {name: yours[name] for name in yours if name.endswith("loss")}
        assert {name: mine[name] for name in losses} == pytest.approx(losses, rel=1e-4)
        assert mine == pytest.approx(yours, rel=0.02, abs=1e-4)
    assert one.weights.keys() == other.weights.keys()
    for name, values in one.weights.items():
        torch.testing.assert_close(values, other.weights[name], rtol=1e-4, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_what_one_trains(case: str, folder: Path, two: dict[str, Training]) -> None:
    one = train(case, folder, Division())
    first, last = one.metrics
    assert first["train/loss"] != pytest.approx(last["train/loss"], rel=1e-3)
    assert_alike(one, two[case])


def test_portions_that_are_normalised_apart_give_another_network(two: dict[str, Training]) -> None:
    with pytest.raises(AssertionError):
        assert_alike(two["autoencoder"], two["apart"])


@pytest.mark.parametrize("case", RESUMED)
def test_two_processes_go_on_from_a_checkpoint(case: str, two: dict[str, Training]) -> None:
    whole, resumed = two[case], two[f"{case} resumed"]
    assert_alike(replace(whole, metrics=whole.metrics[1:]), resumed)


def test_processes_begin_and_end_together(folder: Path) -> None:
    options = {"metric": "val/mse", "seed": 5}
    epochs = run_divided_trial(DividedTrial("autoencoder", CASES["autoencoder"], folder, options), RANKS)
    first = next(epochs)
    alone = next(run_trial("autoencoder", CASES["autoencoder"], PreparedData.load(folder), **options))
    assert numbers([first])[0] == pytest.approx(numbers([alone])[0], rel=1e-4)
    (follower,) = multiprocessing.active_children()
    follower.kill()
    with pytest.raises(LostProcessError, match="a process of the trial ended with code -9"):
        next(epochs)
    assert not dist.is_initialized()
    assert not multiprocessing.active_children()


def test_what_can_not_be_divided_is_refused(folder: Path) -> None:
    trial = DividedTrial("autoencoder", CASES["autoencoder"], folder, {"metric": "val/mse"})
    with pytest.raises(LeighError, match="batch_size is 7, too small to divide among 8 GPUs; raise batch_size, or"):
        next(run_divided_trial(trial, 8))
    with pytest.raises(LeighError, match="deepcluster finds the clusters of an epoch in one process, and gpus is 2"):
        next(run_divided_trial(replace(trial, family="deepcluster"), 2))
    for architecture, obstacle in (({"head": "svm"}, "the head svm is fitted"), ({"backbone": "timm:x"}, "timm:x may")):
        chosen = CASES["resnext"].model_copy(update={"architecture": architecture})
        with pytest.raises(LeighError, match=f"{obstacle} .*gpus is 2; lower resources.gpus to 1"):
            next(run_divided_trial(replace(trial, family="backbone", settings=chosen), 2))
