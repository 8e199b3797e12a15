"""What a study says to its user."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from leigh_mlops.plates import leaked_wells
from leigh_mlops.report.tables import leaderboard
from leigh_mlops.report.words import verdict
from leigh_mlops.study.finalists import Winner
from leigh_mlops.training import PreparedData

__all__ = ["say_baseline", "say_result", "winner_lines"]

CONFOUNDED_AUC = 0.8


def say_baseline(console: Console, beside: dict[str, dict[str, float]]) -> None:
    """What is known before anything trains; a confounded layout comes first."""
    baseline, position = beside["baseline"], beside["position"]
    if position.get("wells/auc", 0.0) > CONFOUNDED_AUC:
        console.print(
            f"[bold]The position on the plate alone tells the classes apart (AUC {position['wells/auc']:.2f} on "
            "validation wells): no score on these images can tell biology from position."
        )
    console.print(
        f"Without any network, on validation wells: a threshold on intensity has accuracy "
        f"{baseline['wells/accuracy']:.3f}, the position on the plate {position['wells/accuracy']:.3f}."
    )


def say_result(
    console: Console,
    rows: list[dict[str, Any]],
    winners: Sequence[Winner],
    data: PreparedData,
    *,
    where: str,
    source: Path | None,
) -> None:
    """The table of all trials, a few sentences on each winner, and the next command."""
    console.print()
    console.print(leaderboard(rows, winners={row["model"] for row in rows if row.get("winner")}))
    for winner in winners:
        console.print()
        for line in winner_lines(winner, data):
            console.print(line, markup=False)
    console.print()
    console.print(f"Everything is in {where}; look at it with: python -m leigh_mlops.ui", markup=False)
    best = next((winner for winner in winners if winner.version.name.endswith("iresnet")), winners[-1])
    command = f"python -m leigh_mlops.explain {best.version.uri} --data {source or 'demo'} --out out"
    console.print(f"Next: {command}", markup=False)


def winner_lines(winner: Winner, data: PreparedData) -> list[str]:
    """A winner beside the baseline and the position, and what became of it."""
    version, decision, test = winner.version, winner.decision, winner.test
    lines = [f"{version.uri} ({winner.trial}):"]
    leaked = leaked_wells(data.table, data.table["Metadata_Split"])
    if leaked:
        lines.append(
            f"  Leak: {len(leaked)} wells stand in more than one part of the split handed in, so that the scores "
            "say how well the network remembers, not how well it sees."
        )
    if "mse" in test.scores:
        pca = test.baseline["mse"]
        lines.append(f"  Test wells: mean squared error {test.scores['mse']:.4f}, PCA with as many numbers {pca:.4f}.")
    else:
        wells = len(np.unique(data.wells[test.outputs.rows]))
        scores = [_of_wells(each, wells) for each in (test.scores, test.baseline, test.position)]
        lines += [f"  {line}" for line in verdict(*scores, difference=winner.gain)]
    role = "champion" if decision.promote else "challenger"
    return [*lines, f"  It is {role}: {decision.reason}."]


def _of_wells(scores: dict[str, float], wells: int) -> dict[str, float]:
    chosen = {name.removeprefix("wells/"): value for name, value in scores.items() if name.startswith("wells/")}
    return chosen | {"wells": wells}
