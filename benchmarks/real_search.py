"""Accuracy on unseen wells after 20 minutes of search on the real DS/TT plate at 64 pixels.

The folder of the real plates is named by LEIGH_DATA. The reference is the trivial
baseline, a classifier on intensity features, on the same test wells.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from mlflow.tracking import MlflowClient

from benchmarks.report import report

MINUTES = 20


def main() -> None:
    """Run the main job by its command and read the test scores from its store."""
    data = Path(os.environ["LEIGH_DATA"]).absolute() / "leigh_ds_tt"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "leigh_mlops.tune", "--data", str(data), "--image-size", "64"]
        subprocess.run([*command, "--time-budget", str(MINUTES)], cwd=folder, check=True)
        client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
        for family in ("resnext", "iresnet"):
            (run,) = client.search_runs(["1"], f"tags.model = '{family}' and tags.winner = 'true'")
            metrics = run.data.metrics
            report(
                f"real_search_{family}",
                ours=metrics["test/wells/accuracy"],
                reference=metrics["test/baseline/wells/accuracy"],
                unit="accuracy on unseen wells",
                bar=0.99,
            )


if __name__ == "__main__":
    main()
