"""What a study says to its user."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from leigh_mlops.plates import leaked_wells
from leigh_mlops.report.tables import REFERENCES, leaderboard, side_by_side
from leigh_mlops.report.words import confound_sentences, verdict
from leigh_mlops.study.evaluation import Evaluation, scores_under
from leigh_mlops.study.finalists import Winner
from leigh_mlops.training import PreparedData

__all__ = ["Confounds", "evaluation_lines", "say_baseline", "say_result", "winner_lines"]

Confounds = dict[str, dict[str, float]]


def say_baseline(console: Console, beside: dict[str, dict[str, float]], confounds: Confounds) -> None:
    """What is known before anything trains; a confounded layout comes first."""
    for sentence in confound_sentences(confounds):
        console.print(sentence, style="bold", markup=False)
    rows = {REFERENCES[kind]: scores for kind, scores in beside.items()}
    console.print(side_by_side(rows, title="Without any network, on validation wells"))


def say_result(
    console: Console,
    rows: list[dict[str, Any]],
    winners: Sequence[Winner],
    data: PreparedData,
    confounds: Confounds,
    *,
    where: str,
    store: Sequence[str],
    source: Path | None,
) -> None:
    """The table of all trials, a few sentences on each winner, and the next command, with ``store`` as its options."""
    console.print()
    for sentence in confound_sentences(confounds):
        console.print(sentence, style="bold", markup=False)
    console.print(leaderboard(rows, winners={row["model"] for row in rows if row.get("winner")}))
    classifiers = [winner for winner in winners if winner.test.position]
    if classifiers:
        tested = {winner.version.uri: winner.test.scores for winner in classifiers}
        last = classifiers[-1].test
        tested |= {REFERENCES["baseline"]: last.baseline, REFERENCES["position"]: last.position}
        console.print(side_by_side(tested, title="Test wells, scored once"))
    for winner in winners:
        console.print()
        for line in winner_lines(winner, data, confounds):
            console.print(line, markup=False)
    console.print()
    shown = shlex.join(["python", "-m", "leigh_mlops.ui", *store])
    console.print(f"Everything is in {where}; look at it with: {shown}", markup=False)
    best = next((winner for winner in winners if winner.version.name.endswith("iresnet")), winners[-1])
    folder = f"out-{best.version.name}-{best.version.version}"
    command = [
        "python",
        "-m",
        "leigh_mlops.explain",
        best.version.uri,
        "--data",
        str(source or "demo"),
        "--out",
        folder,
    ]
    console.print(f"Next: {shlex.join([*command, *store])}", markup=False)


def winner_lines(winner: Winner, data: PreparedData, confounds: Confounds) -> list[str]:
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
        lines += [f"  {line}" for line in evaluation_lines(test, wells, confounds, winner.gain)]
    role = "champion" if decision.promote else "challenger"
    return [*lines, f"  It is {role}: {decision.reason}."]


def evaluation_lines(
    scored: Evaluation,
    wells: int,
    confounds: Confounds,
    difference: tuple[float, float] | None,
    which: str = "test wells",
) -> list[str]:
    """A classifier beside the threshold and the position, in sentences, the most important first.

    Args:
        scored: Their scores on the same wells.
        wells: Number of these wells.
        confounds: What the position alone tells, over all wells.
        difference: 95 % interval of the network's accuracy per well less the threshold's.
        which: What the wells are called.
    """
    kinds = (scored.scores, scored.baseline, scored.position)
    model, baseline, position = (scores_under("wells/", scores) | {"wells": wells} for scores in kinds)
    # A handful of test wells says little about the layout; all wells together say it.
    position |= {"auc": confounds["position"]["auc"]} if confounds["position"] else {}
    near = [scores_under("beside/", scores) for scores in kinds]
    return verdict(model, baseline, position, difference=difference, beside=(near[0], near[1], near[2]), which=which)
