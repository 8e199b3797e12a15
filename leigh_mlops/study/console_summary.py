"""Console output of a study."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from leigh_mlops.command_line import command_line
from leigh_mlops.events import Opened
from leigh_mlops.plates import leaked_wells
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import comparison_sentences, confound_sentences, format_count
from leigh_mlops.report.terminal_tables import REFERENCE_NAMES, leaderboard_table, score_table
from leigh_mlops.settings import Choice, SearchSpace, TrainingSettings
from leigh_mlops.study.dry_run import FamilyPlan, estimate_duration
from leigh_mlops.study.evaluation import Evaluation, select_scores
from leigh_mlops.study.model_selection import Winner
from leigh_mlops.training import PreparedData, is_adapted

__all__ = [
    "Confounds",
    "evaluation_lines",
    "print_adaptation",
    "print_baseline",
    "print_family",
    "print_interrupted",
    "print_omitted_families",
    "print_place",
    "print_plan",
    "print_result",
    "print_resumed",
    "print_storage",
    "print_undelivered",
    "winner_lines",
]

Confounds = dict[str, dict[str, float]]


def print_baseline(console: Console, references: Mapping[str, Mapping[str, float]], confounds: Confounds) -> None:
    """Print the scores known before training, if there are any; a confounded layout comes first."""
    if not references:
        console.print(
            "Without two classes, the baselines of classifiers and the tests of position, plate and background are "
            "left out."
        )
        return
    for sentence in confound_sentences(confounds):
        console.print(sentence, style="bold", markup=False)
    rows = {REFERENCE_NAMES[kind]: scores for kind, scores in references.items()}
    console.print(score_table(rows, title="Baselines without a network, on validation wells"))


def print_omitted_families(console: Console, given: Sequence[SearchSpace], kept: Sequence[SearchSpace]) -> None:
    """Print which families are left out as the images lack classes."""
    searched = [space.family for space in kept]
    if needy := [space.family for space in given if space.family not in searched]:
        verbs = ("needs", "is") if len(needy) == 1 else ("need", "are")
        console.print(
            f"The images do not have two classes: {', '.join(needy)}, which {verbs[0]} them, {verbs[1]} left out; "
            f"searched: {', '.join(searched)}.",
            style="bold",
            markup=False,
        )


def print_family(console: Console, space: SearchSpace, time_budget_s: float | None) -> None:
    """Print the extent of a family's search."""
    budget = f", at most {time_budget_s / 60:.1f} minutes" if time_budget_s else ""
    epochs = TrainingSettings.from_flat(space.published).epochs
    console.print(
        f"[bold]{space.family}[/]: {format_count(space.trials, 'trial')} of {format_count(epochs, 'epoch')} "
        f"at {space.image_size} px{budget}"
    )


def print_adaptation(console: Console, space: SearchSpace, data: PreparedData) -> None:
    """Print whether the published configuration of a family adapts to plates, where there are several."""
    plates = data.count_training_plates()
    settings = TrainingSettings.from_flat(space.published)
    if is_adapted(space.family, settings, data):
        console.print(f"  adapts to each of {format_count(plates, 'plate')} by the plate's negative controls")
    elif plates > 1 and settings.adaptation == "auto":
        console.print("  does not adapt to plates: not every plate has 4 fields of negative controls in the training")


def print_place(console: Console, address: str | None, cores: int, gpus: int) -> None:
    """Print where a dry run would search."""
    here = f"this machine ({format_count(cores, 'core')}, {format_count(gpus, 'GPU')})"
    where = f"the Ray cluster {address}" if address else here
    console.print(
        f"Would search on {where}; times and memory are those of the published configurations on this machine.",
        markup=False,
    )


def print_plan(console: Console, plans: Sequence[FamilyPlan], time_budget_s: float | None) -> None:
    """Print each family's trials, memory, time and varied settings, and the time of all."""
    table = Table("family", "trials", "epochs", "px", "at once", "memory", "s per epoch", "alone, at most")
    for plan in plans:
        space, memory = plan.space, f"{plan.memory_bytes / 2**30:.1f} GiB"
        cells = space.trials, plan.epochs, space.image_size, plan.concurrent_trials, memory, f"{plan.epoch_s:.1f}"
        table.add_row(space.family, *map(str, cells), _format_duration(plan.search_s))
    console.print(table)
    for plan in plans:
        varied = ", ".join(map(_describe_domain, plan.space.ordered_space)) or "nothing"
        console.print(f"{plan.space.family} varies {varied}.", markup=False)
    total_s = estimate_duration(plans)
    total = _format_duration(min(total_s, time_budget_s or total_s))
    stopping = any(plan.space.early_stopping != "none" for plan in plans)
    stops = " (early stopping ends most trials before)" if stopping else ""
    beside = ", as families are searched side by side where there is room" if len(plans) > 1 else ""
    console.print(f"In all at most {total}{beside}{stops}. Nothing was trained; leave out --dry-run to begin.")


def print_storage(console: Console, plans: Sequence[FamilyPlan], checkpoints: str, folder: Path) -> None:
    """Print what a search keeps in the store, and what its checkpoints take in a folder while it runs."""
    networks = [(plan, plan.stored_networks(checkpoints)) for plan in plans]
    parts = [f"{count} of {plan.space.family} ({_format_bytes(plan.weights_bytes)} each)" for plan, count in networks]
    stored = _format_bytes(sum(count * plan.weights_bytes for plan, count in networks))
    which = "the winners alone" if checkpoints == "none" else "best and last epoch of the kept trials"
    console.print(
        f"The store keeps at most these networks, {which}: {', '.join(parts)}; their weights take {stored}. "
        f"Checkpoints of running and kept trials take about {_format_bytes(max(p.checkpoint_bytes for p in plans))} at "
        f"a time in {folder}, and are removed at the end.",
        markup=False,
    )


def _format_bytes(size: float) -> str:
    return f"{size / 2**20:.3g} MiB" if size < 1000 * 2**20 else f"{size / 2**30:.1f} GiB"


def _describe_domain(item: tuple[str, object]) -> str:
    key, domain = item
    return f"{key} ({len(domain.values)} choices)" if isinstance(domain, Choice) else key


def _format_duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_interrupted(console: Console, opened: Opened) -> None:
    """Print that a search did not reach its end."""
    console.print(
        f"A search of {opened.facts['data']}, begun {_format_elapsed(opened.time)}, did not finish; "
        "continue it with --resume.",
        markup=False,
    )


def print_resumed(console: Console, opened: Opened, ended: int, trials: int) -> None:
    """Print that a search is resumed, and how many of its trials have ended."""
    console.print(f"Resuming the search begun {_format_elapsed(opened.time)}: {ended} of {trials} trials have ended.")


def print_undelivered(console: Console, events: int) -> None:
    """Print how many events the store lacks."""
    wait, them = ("waits", "it") if events == 1 else ("wait", "them")
    console.print(f"{format_count(events, 'event')} {wait} for the store; --resume delivers {them}.")


def _format_elapsed(moment: float) -> str:
    """Describe the time since a moment in words."""
    minutes = round((time.time() - moment) / 60)
    return f"{format_count(minutes, 'minute')} ago" if minutes < 120 else f"{round(minutes / 60)} hours ago"


def print_result(
    console: Console,
    rows: Sequence[dict[str, Any]],
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
    console.print(leaderboard_table(rows, winners={row["model"] for row in rows if row.get("winner")}))
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
    viewer = command_line("ui", *store)
    console.print(f"Results are stored in {where}. To open them, run: {viewer}", markup=False)
    best = next((winner for winner in winners if winner.version.name.endswith("iresnet")), winners[-1])
    folder = f"out-{best.version.name}-{best.version.version}"
    words = [best.version.uri, "--data", str(source or "demo"), "--out", folder, *store]
    console.print(f"Next: {command_line('explain', *words)}", markup=False)


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
    elif "replicates/score" in test.scores:
        lines += [f"  {line}" for line in retrieval_lines(test.scores, test.baseline)]
    else:
        wells = len(np.unique(data.wells[test.outputs.rows]))
        lines += [f"  {line}" for line in evaluation_lines(test, wells, confounds, winner.gain)]
        lines += [f"  {line}" for line in left_out_lines(winner.by_plate, data)]
    role = "champion" if decision.promote else "challenger"
    return [*lines, f"  It is {role}: {decision.reason}."]


def retrieval_lines(scores: Mapping[str, float], baseline: Mapping[str, float], which: str = "Test wells") -> list[str]:
    """Describe how well fields of one well find each other, beside intensity features, and what clusters follow."""
    own, other = scores["replicates/score"], baseline["replicates/score"]
    lines = [
        f"{which}: fields of one well find each other with a score of {own:.3f} above shuffled wells and the "
        f"position (1 is perfect, 0 is chance); intensity features alone reach {other:.3f}."
    ]
    known = [f"{name} {scores[f'nmi/{name}']:.3f}" for name in ("class", "row", "column") if f"nmi/{name}" in scores]
    return [*lines, f"Normalised mutual information of its clusters: {', '.join(known)}."] if known else lines


def left_out_lines(by_plate: Mapping[str, float], data: PreparedData) -> list[str]:
    """Describe the scores of a classifier on plates that it was not trained on, or how to get them."""
    plates = data.table[Metadata.PLATE].nunique()
    if by_plate:
        accuracy, balanced, share = (
            by_plate[f"plates/wells/{name}"] for name in ("accuracy", "balanced_accuracy", "majority_share")
        )
        return [
            f"Plates left out of the training in turn ({by_plate['plates/plates']:.0f}): accuracy per well "
            f"{accuracy:.3f}, balanced {balanced:.3f} (largest class {share:.0%}); expect this on a new plate, and not "
            "the scores of wells whose plates were in the training."
        ]
    if plates > 1:
        return [
            f"These wells share their plates with the training; --judge-by plate trains it {plates} times more, "
            "without each plate, and scores it there."
        ]
    return []


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
    neighbours = [select_scores("beside/", scores) for scores in kinds]
    return comparison_sentences(
        model,
        baseline,
        position,
        difference=difference,
        beside=(neighbours[0], neighbours[1], neighbours[2]),
        which=which,
    )
