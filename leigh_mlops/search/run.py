"""One family's search on Ray Tune."""

import threading

from ray import tune
from ray.tune.search import BasicVariantGenerator

from leigh_mlops.search.drawing import Drawing, population
from leigh_mlops.search.relay import Relay
from leigh_mlops.search.request import NUMBER, SearchRequest, Tell
from leigh_mlops.search.resources import Resources, concurrent
from leigh_mlops.search.schedulers import kept_checkpoints, scheduler_of
from leigh_mlops.search.trial import trainable

__all__ = ["run_search"]


def run_search(request: SearchRequest, tell: Tell, stop: threading.Event | None = None) -> str:
    """Search one family on the cluster that is connected.

    Args:
        request: What to search.
        tell: Hears of every trial ``drawn``, of every ``epoch`` whose checkpoint is on the disk, and how trials
            ``ended``.
        stop: Once set, no trial begins and those that run end with their epoch; they are not told as ended.

    Returns:
        ``complete``, ``time`` where the time budget ended it, or ``stopped``.

    Raises:
        LeighError: The disk is full; a machine can't read the data; or no machine can hold a trial, or what an
            earlier search began of one.
    """
    space, stop = request.space, stop or threading.Event()
    relay, resources = Relay(request, tell, stop), Resources(request)
    for trial in relay.left():
        resources.check_again(trial)
    whole = space.algorithm == "pbt"
    members = population(relay, resources) if whole else {}
    if not relay.left() and len(relay.trials) >= space.trials:
        return relay.close()
    tuner = tune.Tuner(
        tune.with_resources(trainable(request), resources),
        param_space=members,
        tune_config=tune.TuneConfig(
            metric=space.metric,
            mode=space.mode,
            num_samples=1 if whole else space.trials + len(relay.left()),
            search_alg=BasicVariantGenerator() if whole else Drawing(relay, resources),
            scheduler=scheduler_of(request),
            max_concurrent_trials=None if whole else concurrent(request),
            time_budget_s=request.time_budget_s,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: f"{space.family}-{trial.config[NUMBER]}",
        ),
        run_config=tune.RunConfig(
            name=request.folder.name,
            storage_path=str(request.folder.parent),
            verbose=0,
            callbacks=[relay],
            stop=relay,
            failure_config=tune.FailureConfig(max_failures=-1),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=kept_checkpoints(space)),
        ),
    )
    tuner.fit()
    return relay.close()
