"""Seconds from the start of the main job to its first metric, on a demo plate that is there already.

    python -m benchmarks.first_metric

The moments are those of the search's journal. The last line is one JSON object.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT

BAR_S = 30.0
_LONGEST_S = 300.0


def journal(state: Path) -> list[dict[str, Any]]:
    """The events of the search so far; a line that is being written is left for the next look."""
    files = sorted((state / "searches").glob("*/journal.jsonl"))
    lines = files[-1].read_text().splitlines(keepends=True) if files else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def main() -> None:
    """Run the benchmark."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        environment = os.environ | ENVIRONMENT
        environment |= {"LEIGH_STATE": str(place / "state"), "LEIGH_CACHE": str(place / "cache")}
        draw = [sys.executable, "-m", "leigh_mlops.synthesize", "plate"]
        subprocess.run(draw, cwd=place, check=True, capture_output=True)
        started = time.time()
        command = [sys.executable, "-m", "leigh_mlops.tune", "--data", "plate", "--preset", "quick"]
        job = subprocess.Popen(
            command, cwd=place, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            events = list[dict[str, Any]]()
            while not any(event["what"] == "epoch" for event in events):
                if job.poll() is not None or time.time() > started + _LONGEST_S:
                    raise SystemExit("The search gave no metric; run the command by hand.")
                time.sleep(0.1)
                events = journal(place / "state")
        finally:
            for _ in range(2):
                job.send_signal(signal.SIGINT)
                time.sleep(1)
            job.wait()
    first = {event["what"]: event["time"] - started for event in reversed(events)}
    print(", ".join(f"{what} after {first[what]:.1f} s" for what in ("opened", "drawn", "epoch")))
    report("first metric", ours=first["epoch"], reference=BAR_S, unit="seconds, and the most it may take", bar=1)


if __name__ == "__main__":
    main()
