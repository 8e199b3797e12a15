"""The batch job: predictions, heatmaps and counterfactuals of a whole data set."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Data, Platemap, RayAddress, Store, Verbose, console, run, split_list


def explain(
    model: Annotated[str, typer.Argument(help="Such as models:/leigh-iresnet@champion or models:/leigh-resnext/2.")],
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder for tables, pictures and report.")],
    platemap: Platemap = None,
    methods: Annotated[
        str | None,
        typer.Option(help="counterfactual,occlusion,reconstruction,interpolation; by default those of the family."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="Class that counterfactuals and interpolations lead to and whose logit occlusion watches; by default "
            "the second most probable, for occlusion the most probable."
        ),
    ] = None,
    window: Annotated[int, typer.Option(min=1, help="Side of the occluding window in pixels.")] = 15,
    stride: Annotated[int, typer.Option(min=1, help="Step of the occluding window in pixels.")] = 6,
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
    batch_size: Annotated[int, typer.Option(min=1, help="Fields at once.")] = 8,
    workers: Annotated[int | None, typer.Option(min=1, help="Workers at once.")] = None,
    store: Store = None,
    ray_address: RayAddress = None,
    verbose: Verbose = False,
) -> None:
    """Classify and explain every field of a data set with a registered model; started again, it goes on."""
    from leigh_mlops.jobs import ExplainJob, ExplainOptions
    from leigh_mlops.study import DataSource
    from leigh_mlops.tracking import Store as Tracking

    options = ExplainOptions(
        target=target,
        window=window,
        stride=stride,
        counts=counts,
        counterfactual=tuple(split_list(counterfactual) or ()),
        confidence=confidence,
        oracle=oracle,
        sweep=sweep,
        towards_field=towards_field,
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


if __name__ == "__main__":
    run(explain)
