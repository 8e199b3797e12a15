"""Processor time of a finished job that is started again, beyond that of importing what it imports.

    python -m benchmarks.job_again [--fields 64]

Times are user and system time of whole processes, the best of three that alternate: the command for the version that
the job was begun with, the same by an alias, for which the registry is asked, and interpreters that import only. One
more start, imports included, is that after a file of the job was touched, when tables, figures and report are made
again. The last line is one JSON object, of the slower of the two starts against its bar.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.job_workers import register_network
from benchmarks.report import report
from leigh_mlops.commands import ENVIRONMENT

RUNS = 3
BAR_S = 3.0
IMPORTS = {"version": "leigh_mlops.explain", "alias": "leigh_mlops.explain, leigh_mlops.tracking"}


def seconds(*arguments: str) -> float:
    """Processor time of an interpreter with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--fields", type=int, default=64)
    given = parser.parse_args()
    os.environ |= ENVIRONMENT
    os.environ.pop("RAY_TMPDIR", None)  # the tests let Ray start nowhere
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        os.environ["LEIGH_CACHE"] = str(folder / "cache")
        uri = register_network(folder, "iresnet", 32, given.fields)
        addresses = {"version": uri, "alias": "models:/bench@challenger"}
        given_to_all = ["--data", str(folder / "plate"), "--store", str(folder / "store"), "--methods", "occlusion"]
        commands = {
            name: ("-m", "leigh_mlops.explain", address, "--out", str(folder / name), *given_to_all)
            for name, address in addresses.items()
        }
        for command in commands.values():
            seconds(*command)
        again: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(RUNS):
            for name, command in commands.items():
                again[name].append(seconds(*command) - seconds("-c", f"import {IMPORTS[name]}"))
        os.utime(folder / "version" / "hits.csv")
        touched = seconds(*commands["version"])
    best = {name: min(each) for name, each in again.items()}
    starts = [f"by {name} {each:.2f} s" for name, each in best.items()]
    print(f"{', '.join(starts)}, after a change {touched:.2f} s with imports")
    report("job again", ours=max(best.values()), reference=BAR_S, unit="seconds beyond imports, and the bar", bar=1)


if __name__ == "__main__":
    main()
