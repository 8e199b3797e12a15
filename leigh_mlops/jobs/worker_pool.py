"""Pool of workers on a Ray cluster, which explain the fields of a job with Ray Data."""

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import psutil
import ray.data
from rich.console import Console

from leigh_mlops.jobs.machine_share import MachineShare, divide_machine, worker_bytes
from leigh_mlops.jobs.worker import FieldWorker, WorkOrder, fit_batch_size
from leigh_mlops.models import Network
from leigh_mlops.report.sentences import format_count
from leigh_mlops.training import image_bytes

__all__ = ["explain_batches"]


def explain_batches(
    order: WorkOrder,
    rows: Sequence[int],
    model: Network,
    console: Console,
    *,
    batch_size: int | None = None,
    workers: int | None = None,
) -> Iterable[dict[str, Any]]:
    """Explain rows on the cluster that is connected; each batch has its numbers under ``row`` when it is done.

    Args:
        order: Instructions for the workers.
        rows: Row numbers.
        model: The network, whose size says what a worker needs.
        console: Where it is said that memory holds fewer workers than there are cores.
        batch_size: Fields at once; None for as many as fit into memory.
        workers: Number of workers; None for as many as fit, see `divide_machine`.
    """
    share = _divide_cluster(order, model, console, workers)
    size = batch_size or fit_batch_size(model, share.workers, share.gpus)
    blocks = math.ceil(len(rows) / size)
    items = ray.data.from_items([{"row": row} for row in rows], override_num_blocks=blocks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray suggests a replacement of max_restarts that does not exist yet
        explained = items.map_batches(
            FieldWorker,
            fn_constructor_args=(replace(order, threads=share.threads),),
            batch_size=size,
            compute=ray.data.ActorPoolStrategy(
                size=min(blocks, share.workers),
                max_concurrent_calls_per_actor=share.calls,
                enable_true_multi_threading=True,
            ),
            num_cpus=share.cpus,
            num_gpus=share.gpus,
            # Users restart the job; single workers are not restarted.
            max_restarts=0,
        )
    return cast(Iterable[dict[str, Any]], explained.iter_batches(batch_size=None))


def _divide_cluster(order: WorkOrder, model: Network, console: Console, workers: int | None) -> MachineShare:
    """Divide the cluster among the workers; its machines are taken for as large as this one."""
    cpus, gpus = (int(ray.cluster_resources().get(kind, 0)) for kind in ("CPU", "GPU"))
    free = psutil.virtual_memory().available * sum(node["Alive"] for node in ray.nodes())
    files = [file.stat().st_size for file in Path(order.package).parent.rglob("*") if file.is_file()]
    needed = worker_bytes(sum(files), image_bytes(model))
    share = divide_machine(cpus, gpus, needed, free, workers)
    if share.is_short:
        console.print(
            f"Memory holds {format_count(share.workers, 'worker')} on {cpus} cores: each takes about "
            f"{needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free."
        )
    return share
