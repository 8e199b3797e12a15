"""Command ``profile``: features of fields and wells for pycytominer, copairs and other tools."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import (
    EXIT_MOST_FAILED,
    Data,
    EngineName,
    EnginePrecision,
    Platemap,
    RequireSignature,
    Store,
    console,
    run,
)


def profile(
    model: Annotated[
        str,
        typer.Argument(help="Model: models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a package."),
    ],
    data: Data,
    out: Annotated[
        Path,
        typer.Option(help="File for the profiles of wells: .parquet, or .h5ad (AnnData); others are written beside."),
    ],
    platemap: Platemap = None,
    features: Annotated[
        str,
        typer.Option(
            help="embedding: the network's features before its head, or its latents; intensity: nine features of "
            "each channel, the baseline."
        ),
    ] = "embedding",
    aggregate: Annotated[str, typer.Option(help="Profile of a well from its fields: median or mean.")] = "median",
    normalise: Annotated[
        str,
        typer.Option(
            help="Normalisation to the negative controls of each plate: none, mad, inverse_normal, sphering or tvn; "
            "all of them are scored."
        ),
    ] = "none",
    regularisation: Annotated[
        float, typer.Option(help="Variance that sphering adds in every direction, as a share of the controls' mean.")
    ] = 0.1,
    consistency: Annotated[
        str | None,
        typer.Option(
            help="Plate map column of what compounds have in common, such as their target; by default detected by its "
            "name."
        ),
    ] = None,
    doses: Annotated[
        str | None, typer.Option(help="Plate map column of the doses; by default detected by its name.")
    ] = None,
    engine: EngineName = None,
    precision: EnginePrecision = None,
    store: Store = None,
    require_signature: RequireSignature = None,
) -> None:
    """Write the features of each field and well by a trained model, and score them by replicates and plates.

    A repeated command goes on where one that was killed was. Exit codes: 0 if profiles were written; 1 if not, with a
    sentence on what to do; 3 if they were, and more than half of the fields failed.
    """
    from leigh_mlops.api.model import load
    from leigh_mlops.study.prepare import DataSource
    from leigh_mlops.study.profile_files import profile_paths
    from leigh_mlops.study.profile_plates import ProfileRequest, profile_plates

    paths = profile_paths(out)
    request = ProfileRequest(
        model,
        DataSource(data, platemap),
        features=features,
        aggregate=aggregate,
        normalisation=normalise,
        regularisation=regularisation,
        consistency=consistency,
        doses=doses,
        engine=engine,
        precision=precision,
    )
    request.check()
    package = load(model, store=store, require_signature=require_signature).package
    done = profile_plates(package, request, paths, console)
    for sentence in done.sentences:
        console.print(sentence, markup=False)
    if 2 * done.failed > done.fields:
        raise typer.Exit(EXIT_MOST_FAILED)


if __name__ == "__main__":
    run(profile)
