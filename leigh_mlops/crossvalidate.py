"""Command ``crossvalidate``: nested cross-validation of one family."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import (
    Augment,
    Data,
    Exclude,
    Group,
    Platemap,
    ScaleBy,
    Seed,
    SkipBroken,
    TrainOnCompounds,
    console,
    labelled_source,
    run,
)
from leigh_mlops.errors import LeighError
from leigh_mlops.train import assignments
from leigh_mlops.tune import configure_search, load_spaces

__all__ = ["crossvalidate"]


def crossvalidate(
    family: Annotated[str, typer.Argument(help="Family that classifies: resnext, iresnet or backbone.")],
    data: Data,
    platemap: Platemap = None,
    group: Group = "well",
    outer: Annotated[
        str, typer.Option(help="Outer folds, each tested once: a number, or all for one per group.")
    ] = "5",
    inner: Annotated[int, typer.Option(min=2, help="Inner folds, on which the configuration is chosen.")] = 3,
    trials: Annotated[int, typer.Option(min=1, help="Configurations to choose from; the first is published.")] = 2,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter, such as learning_rate=0.0005; may be repeated.")
    ] = None,
    preset: Annotated[str, typer.Option(help="quick (a compact network), standard or thorough.")] = "quick",
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Image side in pixels, a multiple of 32.")] = None,
    seed: Seed = 0,
    exclude: Exclude = None,
    scale_by: ScaleBy = "training",
    train_on_compounds: TrainOnCompounds = False,
    augment: Augment = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="JSON file, written after each fold; one that exists is continued.")
    ] = None,
    skip_broken: SkipBroken = False,
) -> None:
    """Choose hyperparameters on inner folds and score them on outer ones, in this process; nothing is registered."""
    found = {space.family: space for space in load_spaces(None, requested=True)}
    if family not in found:
        raise LeighError(f"The family {family!r} is unknown; choose one of {', '.join(sorted(found))}.")
    space = configure_search(
        found[family], preset, trials=trials, epochs=epochs, image_size=image_size, augment=augment
    )
    space = space.fix_hyperparameters(assignments(settings or []))
    from leigh_mlops.progress import Steps
    from leigh_mlops.report.terminal_tables import REFERENCE_NAMES, score_table
    from leigh_mlops.study.nested_evaluation import NestedEvaluation, NestedPlan, mean_scores, parse_folds
    from leigh_mlops.study.prepare import prepare_undivided
    from leigh_mlops.study.spaces import check_spaces, choose_precisions, resolve_start

    check_spaces([space])
    [space] = choose_precisions([resolve_start(space, console)], console)
    plan = NestedPlan(space, parse_folds(outer), inner, seed)
    source = labelled_source(locals())
    prepared = prepare_undivided(source, plan.space.image_size, console)
    with Steps(console, "nested cross-validation") as steps:
        folds = NestedEvaluation(plan, prepared, steps.begin).run(json_file)
    names = {"network": family} | REFERENCE_NAMES
    rows = {names[kind]: scores for kind, scores in mean_scores(folds).items()}
    title = f"Means of {len(folds)} outer folds by {group}, which chose nothing"
    console.print(score_table(rows, title=title))
    for each in folds:
        console.print(
            f"fold {each['fold']}: configuration {each['number']} of {len(each['validation'])}, {each['wells']} wells, "
            f"accuracy {each['network']['wells/accuracy']:.3f}",
            markup=False,
        )


if __name__ == "__main__":
    run(crossvalidate)
