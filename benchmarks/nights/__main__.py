"""Searches over a simulated machine and store, with seeded schedules of faults.

    python -m benchmarks.nights [--seeds 10000] [--workers 2]
    python -m benchmarks.nights --seed 17 --verbose

The second command replays one schedule and prints each step. The last line is one JSON object.
"""

import argparse
import multiprocessing
import sys
import time

from benchmarks.nights.checker import find_seed_faults
from benchmarks.nights.faults import draw_faults
from benchmarks.nights.world import describe
from benchmarks.report import report


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, help="play the night of this seed alone")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="print each step")
    given = parser.parse_args()
    if given.seed is not None:
        print(describe(draw_faults(given.seed)))
        wrong = find_seed_faults(given.seed, given.verbose)
        print("\n".join(wrong) or "nothing was lost, and nothing happened twice")
        sys.exit(bool(wrong))
    seeds = range(given.first, given.first + given.seeds)
    started, failing = time.monotonic(), 0
    with multiprocessing.get_context("spawn").Pool(given.workers) as pool:
        for seed, wrong in zip(seeds, pool.imap(find_seed_faults, seeds, chunksize=20), strict=True):
            if wrong:
                failing += 1
                print(f"seed {seed} ({describe(draw_faults(seed))}):\n  " + "\n  ".join(wrong))
    seconds = time.monotonic() - started
    print(f"{len(seeds)} nights in {seconds:.0f} s, {failing} of them failing")
    report("nights", ours=failing, reference=len(seeds), unit="failing nights", bar=0)
    sys.exit(bool(failing))


if __name__ == "__main__":
    main()
