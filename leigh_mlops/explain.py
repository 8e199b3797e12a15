"""The batch job: predictions, heatmaps and counterfactuals of a whole data set."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Data, Platemap, RayAddress, Store, Verbose, console, run, split_list

EXIT_MOST_FAILED = 3
"""Exit code of a job of which more than half of the fields failed."""


def explain(
    model: Annotated[str, typer.Argument(help="Such as models:/leigh-iresnet@champion or models:/leigh-resnext/2.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, pictures and report.")],
    platemap: Platemap = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="With commas, some of: counterfactual, occlusion, occlusion_channels, grad_cam, guided_grad_cam, "
            "integrated_gradients, smooth_grad, deep_lift, lrp, prediction_difference, reconstruction, interpolation; "
            "by default those of the family."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Class that counterfactuals and interpolations lead to and whose logit maps explain; by default "
            "the second most probable, for maps the most probable."
        ),
    ] = None,
    window: Annotated[
        int, typer.Option(min=1, help="Side of the window of occlusion and prediction_difference in pixels.")
    ] = 15,
    stride: Annotated[int, typer.Option(min=1, help="Step of that window in pixels.")] = 6,
    occlusion_budget: Annotated[
        int,
        typer.Option(
            min=0, help="Evaluations of each field that occlusion may take, coarse to fine; 0 for the exact map."
        ),
    ] = 0,
    metrics: Annotated[
        str, typer.Option(help="Measure of the maps, too: some of infidelity, sensitivity, with commas.")
    ] = "",
    counts: Annotated[
        bool,
        typer.Option("--counts", help="Write counterfactuals as OME-TIFF in whole counts of the camera, too."),
    ] = False,
    counterfactual: Annotated[
        str, typer.Option(help="How far counterfactuals go: some of alpha_0,alpha_1,boundary,confident.")
    ] = "boundary,confident",
    confidence: Annotated[
        float, typer.Option(help="Probability that confident counterfactuals have, above 0.5 and below 1.")
    ] = 0.95,
    oracle: Annotated[
        str | None,
        typer.Option(help="A classifier trained apart that judges counterfactuals, too, models:/NAME@ALIAS."),
    ] = None,
    sweep: Annotated[
        int, typer.Option(min=0, help="Images on the way to the confident counterfactual and past it; 0 for none.")
    ] = 0,
    towards_field: Annotated[
        str | None,
        typer.Option(help="Field that interpolations lead to, PLATE/WELL/SITE; by default the mean of a class."),
    ] = None,
    rescue_from: Annotated[
        str | None,
        typer.Option(help="Class of the diseased wells, 0 % rescue; by default DS, or the negative controls."),
    ] = None,
    rescue_to: Annotated[
        str | None,
        typer.Option(help="Class of the healthy wells, 100 % rescue; by default WT, or the positive controls."),
    ] = None,
    doses: Annotated[
        str | None, typer.Option(help="Column of the plate map that holds doses; by default one whose name says so.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Fields at once; by default as many as fit into memory, at most 8 (GPU: 32)."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers at once.")] = None,
    store: Store = None,
    ray_address: RayAddress = None,
    verbose: Verbose = False,
) -> None:
    """Classify and explain every field of a data set with a registered model; started again, it goes on.

    Exits with 0 where it was done, also where single images could not be explained; with 1 where it could not be done,
    with a sentence that says what to do; with 3 where more than half of the fields failed; with 130 where it was
    stopped.
    """
    from leigh_mlops.jobs import ExplainJob, ExplainOptions
    from leigh_mlops.study import DataSource
    from leigh_mlops.tracking import Store as Tracking

    options = ExplainOptions(
        target=target,
        window=window,
        stride=stride,
        occlusion_budget=occlusion_budget,
        metrics=tuple(split_list(metrics) or ()),
        counts=counts,
        counterfactual=tuple(split_list(counterfactual) or ()),
        confidence=confidence,
        oracle=oracle,
        sweep=sweep,
        towards_field=towards_field,
        rescue_from=rescue_from,
        rescue_to=rescue_to,
        doses=doses,
    )
    job = ExplainJob(
        store=Tracking.open(store, verbose=verbose),
        model=model,
        source=DataSource(data, platemap),
        out=out,
        console=console,
        methods=split_list(methods),
        options=options,
        batch_size=batch_size,
        workers=workers,
        ray_address=ray_address,
        verbose=verbose,
    )
    done = job.run()
    console.print(f"Tables, pictures and report are in {out}; open {out / 'report' / 'index.html'}.", markup=False)
    failed = f"; {done['failed']} failed, see {out / 'failures.csv'}" if done["failed"] else ""
    console.print(f"{done['done']} of {done['fields']} fields explained{failed}.", markup=False)
    if 2 * done["failed"] > done["fields"]:
        raise typer.Exit(EXIT_MOST_FAILED)


if __name__ == "__main__":
    run(explain)
