"""Processor time until a command shows its help, against an interpreter that imports the command line's libraries.

    python -m benchmarks.startup

Both are user and system time of the whole process, the best of five runs that alternate. The slowest command counts.
The last line is one JSON object.
"""

import resource
import subprocess
import sys

from benchmarks.report import report

RUNS = 5
COMMANDS = ("synthesize", "ingest", "tune", "train", "evaluate", "explain", "blind", "leaderboard", "promote", "ui")
BARE = ("-c", "import typer, rich")
HELP = {
    "leigh": ("-m", "leigh_mlops", "--help"),
    **{name: ("-m", f"leigh_mlops.{name}", "--help") for name in COMMANDS},
}
BAR = 10.0


def seconds(arguments: tuple[str, ...]) -> float:
    """Processor time of an interpreter with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run the benchmark."""
    turns = [(seconds(BARE), {name: seconds(arguments) for name, arguments in HELP.items()}) for _ in range(RUNS)]
    best = {name: min(turn[name] for _, turn in turns) for name in HELP}
    for name, time in best.items():
        print(f"{name}: {time:.2f} s")
    reference = min(bare for bare, _ in turns)
    report("startup", ours=max(best.values()), reference=reference, unit="processor seconds to a help", bar=BAR)


if __name__ == "__main__":
    main()
