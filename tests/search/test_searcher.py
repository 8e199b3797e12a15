from pathlib import Path

from leigh_mlops.search.request import CHECKPOINT_KEY, NUMBER_KEY, THREADS_KEY
from leigh_mlops.search.searcher import trial_config
from leigh_mlops.trials import Trial


def test_a_trial_whose_checkpoint_is_gone_starts_over(tmp_path: Path) -> None:
    trial = Trial("autoencoder", 1, {}, epochs=[{"val/mse": 0.1}], checkpoint=tmp_path, threads=2)
    assert trial_config(trial) == {NUMBER_KEY: 1, CHECKPOINT_KEY: "", THREADS_KEY: 2}
    (tmp_path / "state.json").touch()
    assert trial_config(trial) == {NUMBER_KEY: 1, CHECKPOINT_KEY: str(tmp_path), THREADS_KEY: 2}
