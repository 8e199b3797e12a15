"""Command ``train``: one tracked run with fixed hyperparameters, in the same way as a trial."""

from typing import Annotated

import typer
import yaml

from leigh_mlops.commands import (
    Augment,
    Data,
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
from leigh_mlops.settings.base import quote_value
from leigh_mlops.tune import configure_search, load_spaces


def train(
    family: Annotated[str, typer.Argument(help="Family: resnext, autoencoder, iresnet, backbone or deepcluster.")],
    data: Data,
    platemap: Platemap = None,
    init: Annotated[
        str | None,
        typer.Option(
            help="Initial weights: imagenet, random, a .safetensors file, models:/NAME@champion, or a trial's "
            "runs:/RUN (best epoch) or runs:/RUN/last."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Hyperparameter, such as learning_rate=0.0005; may be repeated.")
    ] = None,
    preset: Annotated[
        str, typer.Option(help="quick (a compact network), standard, thorough or published.")
    ] = "standard",
    epochs: Annotated[int | None, typer.Option(min=1, help="Number of epochs.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Image side in pixels, a multiple of 32.")] = None,
    seed: Seed = 0,
    group: Group = "well",
    fold: Fold = None,
    shares: Shares = None,
    exclude: Exclude = None,
    scale_by: ScaleBy = "training",
    train_on_compounds: TrainOnCompounds = False,
    augment: Augment = None,
    name: Annotated[str, typer.Option(help="Prefix of the registered name.")] = "leigh",
    judge_by: JudgeBy = "well",
    store: Store = None,
    sign_key: SignKey = None,
    ray_address: RayAddress = None,
    ray_patience: RayPatience = 60.0,
    skip_broken: SkipBroken = False,
    verbose: Verbose = False,
) -> None:
    """Train one network, test it and register it."""
    found = {space.family: space for space in load_spaces(None, requested=True)}
    if family not in found:
        raise LeighError(f"The family {family!r} is unknown; choose one of {', '.join(sorted(found))}.")
    space = configure_search(found[family], preset, trials=1, epochs=epochs, image_size=image_size, augment=augment)
    values = assignments(settings or []) | ({"init": init} if init else {})
    space = space.only_published().fix_hyperparameters(values)
    with SearchProcess(ray_address, verbose=verbose, start_patience_s=60 * ray_patience) as process:
        process.start()
        from leigh_mlops.study.search_study import SearchStudy
        from leigh_mlops.study.spaces import check_spaces
        from leigh_mlops.study.study_options import StudyOptions

        check_spaces([space])
        source = labelled_source(locals())
        options = StudyOptions(source, [space], seed, line=name, judge_by=judge_by)
        SearchStudy(options, console, store, process, sign_key).run()


def assignments(texts: list[str]) -> dict[str, object]:
    """Parse ``name=value``, values as in YAML.

    Raises:
        LeighError: A text has no ``=``, or its value is not valid YAML.

    Example:
        >>> assignments(["learning_rate=0.001", "architecture.layers=[1, 1, 1, 1]"])
        {'learning_rate': 0.001, 'architecture.layers': [1, 1, 1, 1]}
    """
    values = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise LeighError(f"--set {quote_value(text)} has no '='; write it as learning_rate=0.0005.")
        try:
            values[key.strip()] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError):  # a date such as 2026-99-99 is a ValueError
            raise LeighError(
                f"--set {quote_value(text)}: this is not a valid value; write it as learning_rate=0.0005."
            ) from None
    return values


if __name__ == "__main__":
    run(train)
