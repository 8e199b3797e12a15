"""Search of one family on Ray Tune."""

import math
import threading

from ray import tune
from ray.tune.search import BasicVariantGenerator

from leigh_mlops.events import Outcome
from leigh_mlops.search.callback import SearchCallback
from leigh_mlops.search.checkpoint_count import checkpoints_to_keep
from leigh_mlops.search.request import NUMBER_KEY, EventHandler, SearchRequest
from leigh_mlops.search.resources import Resources, concurrent_trials
from leigh_mlops.search.schedulers import build_scheduler
from leigh_mlops.search.searcher import JournalSearcher, draw_population
from leigh_mlops.search.trainable import build_trainable
from leigh_mlops.search.trial_pool import TrialPool

__all__ = ["run_search"]


def run_search(
    request: SearchRequest,
    handle: EventHandler,
    stop: threading.Event | None = None,
    longest_wait_s: float = math.inf,
    pool: TrialPool | None = None,
) -> Outcome:
    """Search one family on the connected cluster.

    Args:
        request: The search to run.
        handle: Event handler, called for every trial drawn, every epoch whose checkpoint is on the disk, and every
            trial that ended.
        stop: Once set, no trial starts, and running trials stop after their epoch without an event of their end.
        longest_wait_s: How long trials may wait for a worker while none runs.
        pool: The trials of all families that are searched in this process; by default of this one alone.

    Returns:
        ``complete``, ``time`` if the time budget ended the search, or ``stopped``.

    Raises:
        LeighError: The disk is full; a machine can't read the data; or a trial, new or resumed, fits on no machine.
        StalledError: Trials waited too long for a worker.
    """
    space, stop = request.space, stop or threading.Event()
    pool = pool or TrialPool([request])
    callback, resources = SearchCallback(request, handle, stop, pool, longest_wait_s), Resources(request)
    pool.enter(space.family, callback)
    for trial in callback.unfinished_trials():
        resources.check_resumed(trial)
    population = space.algorithm == "pbt"
    members = draw_population(callback, resources) if population else {}
    if not callback.unfinished_trials() and callback.are_all_drawn:
        return callback.close()
    tuner = tune.Tuner(
        tune.with_resources(build_trainable(request), resources),
        param_space=members,
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode=space.mode,
            num_samples=1 if population else space.trials + len(callback.unfinished_trials()),
            search_alg=BasicVariantGenerator() if population else JournalSearcher(callback, resources),
            scheduler=build_scheduler(request),
            max_concurrent_trials=None if population else concurrent_trials(request),
            time_budget_s=request.time_budget_s,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: f"{space.family}-{trial.config[NUMBER_KEY]}",
        ),
        run_config=tune.RunConfig(
            name=request.folder.name,
            storage_path=str(request.folder.parent),
            verbose=0,
            callbacks=[callback],
            stop=callback,
            failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=checkpoints_to_keep(space)),
        ),
    )
    tuner.fit()
    return callback.close()
