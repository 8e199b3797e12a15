"""Command ``explain``: the batch job for predictions, heatmaps and counterfactuals of a data set."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import (
    EXIT_MOST_FAILED,
    Data,
    EngineName,
    EnginePrecision,
    Platemap,
    RayAddress,
    RayPatience,
    RequireSignature,
    Store,
    Verbose,
    console,
    run,
    split_list,
)


def explain(
    model: Annotated[
        str, typer.Argument(help="Model, such as models:/leigh-iresnet@champion or models:/leigh-resnext/2.")
    ],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables, pictures and report.")],
    platemap: Platemap = None,
    methods: Annotated[
        str | None,
        typer.Option(
            help="Comma-separated: counterfactual, occlusion, occlusion_channels, grad_cam, guided_grad_cam, "
            "integrated_gradients, smooth_grad, deep_lift, lrp, prediction_difference, reconstruction, interpolation; "
            "by default those of the family."
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Target class of counterfactuals and interpolations, whose logit the maps explain; by default "
            "the second most probable class, and for maps the most probable one."
        ),
    ] = None,
    targets: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with the columns field (PLATE/WELL/SITE, or the name of an image) and target (class or "
            "cluster): targets of single fields, before --target."
        ),
    ] = None,
    window: Annotated[
        int, typer.Option(min=1, help="Window of occlusion and prediction_difference, side in pixels.")
    ] = 15,
    stride: Annotated[int, typer.Option(min=1, help="Stride of the window in pixels.")] = 6,
    occlusion_budget: Annotated[
        int,
        typer.Option(
            min=0, help="Maximum number of evaluations per field for an estimated occlusion map; 0: exact map."
        ),
    ] = 0,
    metrics: Annotated[
        str, typer.Option(help="Further metrics of the maps, comma-separated: infidelity, sensitivity.")
    ] = "",
    counts: Annotated[
        bool,
        typer.Option("--counts", help="Also write counterfactuals as OME-TIFF in integer camera counts."),
    ] = False,
    counterfactual: Annotated[
        str,
        typer.Option(
            help="Kinds of counterfactuals, comma-separated: alpha_0, alpha_1, boundary, confident, typical; "
            "by default boundary and typical, or confident for models of earlier versions.",
            show_default=False,
        ),
    ] = "",
    confidence: Annotated[
        float | None,
        typer.Option(
            help="Target probability of confident counterfactuals, above 0.5 and below 1; by default the median of "
            "the class's real training fields."
        ),
    ] = None,
    oracle: Annotated[
        list[str] | None,
        typer.Option(
            help="Registered classifier that evaluates the counterfactuals beside those of the package, "
            "models:/NAME@ALIAS; may be repeated."
        ),
    ] = None,
    sweep: Annotated[
        int,
        typer.Option(
            min=0, help="Number of images on the path to the typical or confident counterfactual and beyond; 0: none."
        ),
    ] = 0,
    towards_field: Annotated[
        str | None,
        typer.Option(help="Target field of interpolations, PLATE/WELL/SITE; by default the mean of a class."),
    ] = None,
    rescue_from: Annotated[
        str | None,
        typer.Option(help="Class at 0 % rescue (diseased wells); by default DS, or the negative controls."),
    ] = None,
    rescue_to: Annotated[
        str | None,
        typer.Option(help="Class at 100 % rescue (healthy wells); by default WT, or the positive controls."),
    ] = None,
    doses: Annotated[
        str | None, typer.Option(help="Plate map column of the doses; by default detected by its name.")
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(
            min=0.5,
            max=0.99,
            help="Coverage of the prediction sets: share of wells of each class whose set contains their class.",
        ),
    ] = 0.9,
    correct_position: Annotated[
        bool,
        typer.Option(
            "--correct-position",
            help="Take the effect of the position on the plate, a smooth function fitted on its controls, from the "
            "scores of wells.",
        ),
    ] = False,
    cluster_names: Annotated[
        Path | None,
        typer.Option(help="CSV file with the columns cluster and name: names of clusters, which the report shows."),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Fields per batch; by default as many as fit into memory, at most 8 (GPU: 32)."),
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Number of parallel workers.")] = None,
    engine: EngineName = None,
    precision: EnginePrecision = None,
    store: Store = None,
    require_signature: RequireSignature = None,
    ray_address: RayAddress = None,
    ray_patience: RayPatience = 60.0,
    verbose: Verbose = False,
) -> None:
    """Classify and explain every field of a data set with a registered model; a repeated command resumes.

    Exit codes: 0 if the job finished, even if single images could not be explained; 1 if it could not finish, with a
    sentence on what to do; 3 if more than half of the fields failed; 130 if Ctrl-C stopped it, and 143 if SIGTERM did.
    """
    asked = dict(locals())
    # Imported here and one by one, so that help and a complete job wait for nothing that they do not need.
    from leigh_mlops.jobs.finished_job import is_complete, request_digest

    request = request_digest(asked)
    if is_complete(out, request):
        _report_complete(model, out, store, verbose=verbose)
        return
    from leigh_mlops.jobs.explain_job import ExplainJob
    from leigh_mlops.jobs.options import ExplainOptions
    from leigh_mlops.study.prepare import DataSource
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
        oracle=tuple(oracle or ()),
        sweep=sweep,
        towards_field=towards_field,
        rescue_from=rescue_from,
        rescue_to=rescue_to,
        doses=doses,
        coverage=coverage,
        correct_position=correct_position,
        engine=engine,
        precision=precision,
    )
    job = ExplainJob(
        store=Tracking.open(store, verbose=verbose, trusted_key=require_signature),
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
        start_patience_s=60 * ray_patience,
        cluster_names=cluster_names,
        targets=targets,
        request=request,
    )
    done = job.run()
    console.print(f"Wrote tables, pictures and report to {out}; open {out / 'report' / 'index.html'}.", markup=False)
    failed = f"; {done['failed']} failed, see {out / 'failures.csv'}" if done["failed"] else ""
    console.print(f"{done['done']} of {done['fields']} fields explained{failed}.", markup=False)
    if 2 * done["failed"] > done["fields"]:
        raise typer.Exit(EXIT_MOST_FAILED)


def _report_complete(model: str, out: Path, store: str | None, *, verbose: bool) -> None:
    """Print that a job has nothing left to do, and whether its alias has moved since."""
    from leigh_mlops.jobs.job_file import read_job

    job = read_job(out)
    if "@" in model:
        from leigh_mlops.jobs.pinned_version import pin_version
        from leigh_mlops.tracking import Store as Tracking

        pin_version(Tracking.open(store, verbose=verbose), model, out, console)
    console.print(f"Nothing to do: {out} is complete; open {out / 'report' / 'index.html'}.", markup=False)
    console.print(f"{job['done']} of {job['fields']} fields explained.", markup=False)


if __name__ == "__main__":
    run(explain)
