"""A trial on several GPUs of a machine: one process for each, which divide every batch among them.

Ray Train would do this in a search of its own with workers, reports and checkpoints of another kind. Here a trial stays
one worker, which reserves all its GPUs and starts the other processes itself.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import distributed as dist

from leigh_mlops.errors import LeighError
from leigh_mlops.images import Division
from leigh_mlops.models.device import default_device
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.training.data import PreparedData
from leigh_mlops.training.loop import EpochResult
from leigh_mlops.training.trial import require_divisible, run_trial

__all__ = ["DividedTrial", "LostProcessError", "join_processes", "run_divided_trial"]

_READY, _NEXT = "ready", "next"
_END_WAIT_S = 10.0
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


class LostProcessError(RuntimeError):
    """A process of a trial died without a word, as it does where memory runs out."""


@dataclass(frozen=True)
class DividedTrial:
    """Trial that several processes train.

    Attributes:
        family: A key of ``MODELS``.
        settings: Hyperparameters and architecture.
        data: Folder of prepared data.
        options: Further arguments of :func:`run_trial`.
    """

    family: str
    settings: TrainingSettings
    data: Path
    options: dict[str, Any]

    def run(self, division: Division) -> Iterator[EpochResult]:
        """Train in one of the processes, which has joined the others."""
        data = PreparedData.load(self.data)
        device = str(_rank_device(division))
        return run_trial(self.family, self.settings, data, **self.options, division=division, device=device)


def run_divided_trial(trial: DividedTrial, ranks: int) -> Iterator[EpochResult]:
    """Train one network in several processes, each on a GPU of its own, and yield one result per epoch.

    This process is the first of them; the others wait while the result of an epoch is used, and end with the iterator.
    Without GPUs, all of them train on the CPU.

    Args:
        trial: The trial.
        ranks: Number of processes, at least 2.

    Raises:
        LeighError: As :func:`run_trial`, in any of the processes.
        LostProcessError: A process died.
    """
    require_divisible(trial.family, trial.settings, ranks)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        meeting, division = Path(folder) / "meeting", Division(0, ranks)
        with _start_followers(trial, ranks, meeting) as followers:
            try:
                for follower in followers:
                    follower.wait_until_ready()
                with join_processes(division, meeting):
                    for epoch in trial.run(division):
                        yield epoch
                        for follower in followers:
                            follower.pipe.send(_NEXT)
            except (RuntimeError, OSError, EOFError) as error:
                for follower in followers:
                    follower.raise_failure(error)
                raise


@contextmanager
def join_processes(division: Division, meeting: Path) -> Iterator[None]:
    """Let this process be one of PyTorch's process group within the context; all are on this machine.

    Args:
        division: Place of the process.
        meeting: New file by which the processes find each other.
    """
    with _loopback_only():
        backend = "cpu:gloo,cuda:nccl" if _rank_device(division).type == "cuda" else "gloo"
        store = dist.FileStore(str(meeting), division.ranks)  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=division.rank, world_size=division.ranks)
        try:
            yield
        finally:
            dist.destroy_process_group()


def _rank_device(division: Division) -> torch.device:
    """Return the GPU of a process, which becomes its default one, or the CPU where there is none.

    Raises:
        LeighError: There are fewer GPUs than processes, or PyTorch has no code for them.
    """
    device = default_device()
    if device.type == "cpu":
        return device
    if division.ranks > torch.cuda.device_count():
        raise LeighError(
            f"A trial on {division.ranks} GPUs sees {torch.cuda.device_count()} of them; lower resources.gpus, or set "
            "CUDA_VISIBLE_DEVICES to as many."
        )
    torch.cuda.set_device(division.rank)
    return torch.device("cuda", division.rank)


@contextmanager
def _loopback_only() -> Iterator[None]:
    """Let the processes talk through the loopback interface, which no other machine reaches."""
    before = {name: os.environ.get(name) for name in _INTERFACES}
    os.environ.update(dict.fromkeys(_INTERFACES, "lo0" if sys.platform == "darwin" else "lo"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            os.environ.update({} if value is None else {name: value})


@dataclass(frozen=True)
class _Follower:
    """Process that trains with the first one."""

    process: BaseProcess
    pipe: Connection

    def wait_until_ready(self) -> None:
        """Wait until the process has loaded its modules.

        Raises:
            LeighError: It failed.
            EOFError: It died.
        """
        message = self.pipe.recv()
        if message != _READY:
            raise LeighError(message)

    def raise_failure(self, error: Exception) -> None:
        """Raise what ended the process, if it has ended.

        Raises:
            LeighError: It failed for a reason.
            LostProcessError: It died.
        """
        self.process.join(_END_WAIT_S)
        with suppress(EOFError, OSError):
            while self.pipe.poll():
                if (message := self.pipe.recv()) != _READY:
                    raise LeighError(message) from error
        if self.process.exitcode:
            raise LostProcessError(f"a process of the trial ended with code {self.process.exitcode}") from error


@contextmanager
def _start_followers(trial: DividedTrial, ranks: int, meeting: Path) -> Iterator[list[_Follower]]:
    context, followers = multiprocessing.get_context("spawn"), list[_Follower]()
    try:
        for rank in range(1, ranks):
            ours, theirs = context.Pipe()
            arguments = trial, Division(rank, ranks), meeting, theirs, torch.get_num_threads()
            process = context.Process(target=_follow, args=arguments, daemon=True, name=f"rank {rank}")
            process.start()
            theirs.close()
            followers.append(_Follower(process, ours))
        yield followers
    finally:
        _end(followers)


def _end(followers: Sequence[_Follower]) -> None:
    for follower in followers:
        follower.pipe.close()
        follower.process.kill()
    for follower in followers:
        follower.process.join()


def _follow(trial: DividedTrial, division: Division, meeting: Path, pipe: Connection, threads: int) -> None:
    """Train with the first process until it ends; the target of a process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        pipe.send(_READY)
        with join_processes(division, meeting):
            for _ in trial.run(division):
                if pipe.recv() != _NEXT:
                    return
    except EOFError:  # the first process needs no further epoch
        return
    except Exception as error:
        pipe.send(" ".join(str(error).split()) or type(error).__name__)
        raise SystemExit(1) from None


def _end_with_parent() -> None:
    """End this process as soon as the first one has ended, even if it waits for it."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
    os._exit(1)
