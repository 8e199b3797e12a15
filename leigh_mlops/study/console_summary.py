"""Console output of a study."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from leigh_mlops.plates import leaked_wells
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import comparison_sentences, confound_sentences
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES, leaderboard, score_table
from leigh_mlops.study.evaluation import Evaluation, select_scores
from leigh_mlops.study.model_selection import Winner
from leigh_mlops.training import PreparedData

__all__ = ["Confounds", "evaluation_lines", "print_baseline", "print_result", "winner_lines"]

Confounds = dict[str, dict[str, float]]


def print_baseline(console: Console, beside: dict[str, dict[str, float]], confounds: Confounds) -> None:
    """Print the scores known before training; a confounded layout comes first."""
    for sentence in confound_sentences(confounds):
        console.print(sentence, style="bold", markup=False)
    rows = {REFERENCE_NAMES[kind]: scores for kind, scores in beside.items()}
    console.print(score_table(rows, title="Baselines without a network, on validation wells"))


def print_result(
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
    """Print the table of all trials, sentences on each winner, and the next command, with ``store`` as its options."""
    console.print()
    for sentence in confound_sentences(confounds):
        console.print(sentence, style="bold", markup=False)
    console.print(leaderboard(rows, winners={row["model"] for row in rows if row.get("winner")}))
    classifiers = [winner for winner in winners if winner.test.position]
    if classifiers:
        tested = {winner.version.uri: winner.test.scores for winner in classifiers}
        last = classifiers[-1].test
        tested |= {REFERENCE_NAMES["baseline"]: last.baseline, REFERENCE_NAMES["position"]: last.position}
        console.print(score_table(tested, title="Test wells, scored once"))
    for winner in winners:
        console.print()
        for line in winner_lines(winner, data, confounds):
            console.print(line, markup=False)
    console.print()
    shown = shlex.join(["python", "-m", "leigh_mlops.ui", *store])
    console.print(f"Results are stored in {where}. To open them, run: {shown}", markup=False)
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
    """Describe a winner beside the baseline and the position, and whether it is champion."""
    version, decision, test = winner.version, winner.decision, winner.test
    lines = [f"{version.uri} ({winner.trial}):"]
    leaked = leaked_wells(data.table, data.table[Metadata.SPLIT])
    if leaked:
        lines.append(
            f"  Leak: {len(leaked)} wells are in more than one part of the given split, so the scores "
            "show what the network has memorised, not how well it generalises."
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
    """Describe a classifier beside the threshold and the position, the most important sentence first.

    Args:
        scored: Their scores on the same wells.
        wells: Number of these wells.
        confounds: Scores of position, plate and background alone, over all wells.
        difference: 95 % interval of the network's accuracy per well less the threshold's.
        which: Name of the wells in the sentences.
    """
    kinds = (scored.scores, scored.baseline, scored.position)
    model, baseline, position = (select_scores("wells/", scores) | {"wells": wells} for scores in kinds)
    # A handful of test wells says little about the layout, unlike all wells together.
    position |= {"auc": confounds["position"]["auc"]} if confounds["position"] else {}
    near = [select_scores("beside/", scores) for scores in kinds]
    return comparison_sentences(
        model, baseline, position, difference=difference, beside=(near[0], near[1], near[2]), which=which
    )
