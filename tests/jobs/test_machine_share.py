import pytest

from leigh_mlops.jobs.machine_share import divide_machine, worker_bytes

GIB = 2.0**30


@pytest.mark.parametrize("cpus", [1, 2, 3, 16, 64])
def test_every_core_has_a_worker_and_ray_keeps_one(cpus: int) -> None:
    share = divide_machine(cpus, 0, GIB, 1000 * GIB)
    assert (share.workers, share.threads, share.gpus, share.is_short) == (cpus, 1, 0, False)
    assert share.workers * share.cpus <= max(1, cpus - 1)


def test_memory_limits_the_workers_and_not_the_cores() -> None:
    assert divide_machine(16, 0, GIB, 32 * GIB).workers == 16
    share = divide_machine(16, 0, GIB, 10 * GIB)
    assert (share.workers, share.threads, share.is_short) == (5, 3, True)
    assert divide_machine(16, 0, GIB, 0.1 * GIB).workers == 1


def test_workers_that_are_asked_for_are_kept_with_equal_sums() -> None:
    for workers in (1, 2, 4):
        share = divide_machine(2, 0, GIB, 0.1 * GIB, workers)
        assert (share.workers, share.threads, share.is_short) == (workers, 1, False)
        assert share.workers * share.cpus <= 1


def test_each_gpu_has_a_worker_that_draws_beside_it() -> None:
    share = divide_machine(16, 2, GIB, 0.1 * GIB)
    assert (share.workers, share.gpus, share.is_short) == (2, 1, False)
    assert share.calls > divide_machine(16, 0, GIB, 64 * GIB).calls
    assert divide_machine(16, 1, GIB, 64 * GIB, workers=2).gpus == 0.5


def test_a_worker_needs_its_libraries_its_packages_twice_and_a_field() -> None:
    bare = worker_bytes(0, 0)
    assert bare > 0
    assert worker_bytes(100, 7) == bare + 207
