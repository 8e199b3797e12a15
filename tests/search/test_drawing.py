from pathlib import Path

from leigh_mlops.search.drawing import tuned
from leigh_mlops.search.request import CHECKPOINT, NUMBER
from leigh_mlops.trials import Trial


def test_a_trial_whose_checkpoint_is_gone_starts_over(tmp_path: Path) -> None:
    trial = Trial("autoencoder", 1, {}, epochs=[{"val/mse": 0.1}], checkpoint=tmp_path)
    assert tuned(trial) == {NUMBER: 1, CHECKPOINT: ""}
    (tmp_path / "state.json").touch()
    assert tuned(trial) == {NUMBER: 1, CHECKPOINT: str(tmp_path)}
