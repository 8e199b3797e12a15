import threading
from pathlib import Path
from types import SimpleNamespace

from leigh_mlops.events import TrialEvent
from leigh_mlops.search import SearchRequest
from leigh_mlops.search.callback import SearchCallback
from leigh_mlops.search.request import CHECKPOINT_KEY, NUMBER_KEY, THREADS_KEY
from leigh_mlops.search.searcher import JournalSearcher, trial_config
from leigh_mlops.search.trial_pool import TrialPool
from leigh_mlops.trials import Trial
from tests.search.searches import space


def test_a_trial_whose_checkpoint_is_gone_starts_over(tmp_path: Path) -> None:
    trial = Trial("autoencoder", 1, {}, epochs=[{"val/mse": 0.1}], checkpoint=tmp_path, threads=2)
    assert trial_config(trial) == {NUMBER_KEY: 1, CHECKPOINT_KEY: "", THREADS_KEY: 2}
    (tmp_path / "state.json").touch()
    assert trial_config(trial) == {NUMBER_KEY: 1, CHECKPOINT_KEY: str(tmp_path), THREADS_KEY: 2}


def test_a_family_waits_for_a_place_and_ends_without_one() -> None:
    """Another family holds the only place; a trial takes it when it is free, and its end needs none."""
    requests = [
        SearchRequest(space(trials=1).model_copy(update={"family": family}), Path("data"), Path(family), workers=1)
        for family in ("autoencoder", "resnext")
    ]
    pool, drawn = TrialPool(requests), list[TrialEvent]()
    callback = SearchCallback(requests[0], drawn.append, threading.Event(), pool)
    cores = SimpleNamespace(choose_threads=lambda trials: trials)
    searcher = JournalSearcher(callback, SimpleNamespace(cores=cores, check=lambda config: None))  # type: ignore[arg-type]
    assert pool.claim_place("resnext")
    assert searcher.suggest("1") is None
    assert not drawn
    pool.free_place("resnext")
    assert searcher.suggest("1")[THREADS_KEY] == 2
    assert searcher.suggest("2") == JournalSearcher.FINISHED
    assert not pool.claim_place("resnext")
    searcher.on_trial_complete("1")
    assert pool.claim_place("resnext")
    assert len(drawn) == 1
