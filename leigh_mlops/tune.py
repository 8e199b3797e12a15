"""Command ``tune``: the main job, which searches every family and registers the winners."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import (
    Augment,
    Exclude,
    Fold,
    Group,
    JudgeBy,
    Platemap,
    RayAddress,
    RayPatience,
    ScaleBy,
    Seed,
    Shares,
    SignKey,
    SkipBroken,
    Store,
    TrainOnCompounds,
    Verbose,
    console,
    labelled_source,
    run,
)
from leigh_mlops.errors import LeighError
from leigh_mlops.search import SearchProcess
from leigh_mlops.settings import SearchSpace, find_search_files, load_space, read_augmentation

PRESETS = ("quick", "standard", "thorough", "published")
# Options that may differ when a search is resumed.
_RESUME_OPTIONS = {"resume", "store", "sign_key", "workers", "ray_address", "ray_patience", "verbose"}


def tune(
    searches: Annotated[
        list[Path] | None,
        typer.Argument(help="Search files; by default those in ./tuning, or those of the package.", show_default=False),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", help="Image folder or image table; by default a demo plate, drawn in ./demo."),
    ] = None,
    platemap: Platemap = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Number of trials per family.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs per trial.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Image side in pixels, a multiple of 32.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of parallel trials; by default limited by cores and GPUs.")
    ] = None,
    seed: Seed = 0,
    preset: Annotated[
        str | None,
        typer.Option(
            help="quick (compact networks), standard, thorough, or published (the published configuration of each "
            "family, once); by default standard, or quick without --data."
        ),
    ] = None,
    time_budget: Annotated[
        float | None, typer.Option(min=0.01, help="Time budget of all searches together in minutes.")
    ] = None,
    group: Group = "well",
    fold: Fold = None,
    shares: Shares = None,
    exclude: Exclude = None,
    scale_by: ScaleBy = "training",
    train_on_compounds: TrainOnCompounds = False,
    augment: Augment = None,
    name: Annotated[str, typer.Option(help="Prefix of the registered names; a new prefix starts with version 1.")] = (
        "leigh"
    ),
    keep_checkpoints: Annotated[
        str,
        typer.Option(
            help="Networks to store as MLflow models: best (best and last epoch of the best trials, as many as keep in "
            "the search file), all (the same of every finished trial), or none (of the winners alone)."
        ),
    ] = "best",
    judge_by: JudgeBy = "well",
    prior: Annotated[
        str,
        typer.Option(
            help="Begin with the best settings, by validation wells, of earlier searches in the store: all, on images "
            "of the same classes and channels, or one of them by its run.",
            show_default=False,
        ),
    ] = "",
    store: Store = None,
    sign_key: SignKey = None,
    ray_address: RayAddress = None,
    ray_patience: RayPatience = 60.0,
    skip_broken: SkipBroken = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run, where and for how long, without training.")
    ] = False,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Resume the newest unfinished search, or, with other options, the newest that was started with them.",
        ),
    ] = False,
    verbose: Verbose = False,
    context: typer.Context = None,  # type: ignore[assignment]  # typer passes it by its type
) -> None:
    """Search hyperparameters of networks on a plate's images and register the best network of each family."""
    if resume and prior:
        raise LeighError("--resume goes on with the settings that a search began with; leave --prior out.")
    with SearchProcess(ray_address, workers, verbose, start_patience_s=60 * ray_patience) as process:
        if resume and _given_options(context) <= _RESUME_OPTIONS:
            process.start()
            from leigh_mlops.study.search_study import resume_newest

            resume_newest(console, store=store, process=process, sign_key=sign_key)
            return
        chosen = preset or ("standard" if data else "quick")
        spaces = [
            configure_search(space, chosen, trials=trials, epochs=epochs, image_size=image_size, augment=augment)
            for space in load_spaces(searches)
        ]
        if not dry_run:
            process.start()
        from leigh_mlops.study.search_study import SearchStudy
        from leigh_mlops.study.spaces import check_spaces
        from leigh_mlops.study.study_options import StudyOptions

        check_spaces(spaces)
        if keep_checkpoints == "all":
            spaces = [space.replace_fields(keep=max(space.keep, space.trials)) for space in spaces]
        source = labelled_source(locals())
        time_budget_s = None if time_budget is None else 60 * time_budget
        options = StudyOptions(
            source, spaces, seed, time_budget_s, name, keep_checkpoints, judge_by, families_given=bool(searches)
        )
        study = SearchStudy(options, console, store, process, sign_key, prior)
        if dry_run:
            study.show()
        elif resume:
            study.resume()
        else:
            study.run()


def _given_options(context: typer.Context) -> set[str]:
    """Names of the options that the command line gives."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def load_spaces(searches: list[Path] | None, *, requested: bool = False) -> list[SearchSpace]:
    """Read the given search files, or those in ``./tuning``, or those of the package.

    Args:
        searches: Files, or none for those of all families.
        requested: Include those of the package's families that do not run unasked.

    Raises:
        LeighError: A file is missing or not valid.
    """
    return [load_space(path) for path in find_search_files(searches or (), requested=requested)]


def configure_search(
    space: SearchSpace,
    preset: str,
    *,
    trials: int | None,
    epochs: int | None,
    image_size: int | None,
    augment: str | None = None,
) -> SearchSpace:
    """Apply a preset to a search, then the limits of the command line, which take precedence.

    Raises:
        LeighError: The preset is unknown or trains another number of trials, or the augmentation can't be read.
    """
    if preset not in PRESETS:
        raise LeighError(f"The preset {preset!r} is unknown; choose one of {', '.join(PRESETS)}.")
    if preset == "published":
        if trials not in (None, 1):
            raise LeighError(f"--trials {trials} with --preset published, which trains one; leave out --trials.")
        space = space.only_published()
    space = space.apply_preset(preset)
    bounds = {"trials": trials, "image_size": image_size}
    space = space.replace_fields(**{key: value for key, value in bounds.items() if value is not None})
    values: dict[str, object] = {"epochs": epochs} if epochs else {}
    if augment is not None:
        values["augment"] = read_augmentation(augment, Path())
    return space.fix_hyperparameters(values) if values else space


if __name__ == "__main__":
    run(tune)
