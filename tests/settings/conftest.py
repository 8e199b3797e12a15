from pathlib import Path

import yaml

import leigh_mlops

TUNING = Path(leigh_mlops.__file__).parent / "tuning"
PAGE = (Path(__file__).parent.parent.parent / "docs" / "searches.md").read_text(encoding="utf-8")
GOOD = {
    "family": "resnext",
    "metric": "val/log_loss",
    "published": {"learning_rate": 0.001, "batch_size": 15},
    "space": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "batch_size": [8, 15]},
    "presets": {"quick": {"trials": 1, "epochs": 2, "fix": {"architecture.groups": 8}}},
}


def written(tmp_path: Path, values: object) -> Path:
    path = tmp_path / "search.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


DENSITY = "padded_channels=null, head=gaussian, log_det=roulette"
PADDED = "padded_channels=8, head=published, log_det=none"
JOINT = GOOD | {
    "published": GOOD["published"] | {"architecture": PADDED, "precision": "fp32"},
    "space": {"architecture": [PADDED, DENSITY]},
}
