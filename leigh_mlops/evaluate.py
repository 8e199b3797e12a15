"""Command ``evaluate``: score a registered version and its baselines on a data set."""

import json
from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.command_line import command_line
from leigh_mlops.commands import Data, EngineName, EnginePrecision, Platemap, RequireSignature, Store, console, run


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Model, such as models:/leigh-iresnet@champion or models:/leigh-resnext/2.")
    ],
    data: Data,
    platemap: Platemap = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="JSON file for the scores.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder for a page with the scores, wells and learning curves.")
    ] = None,
    engine: EngineName = None,
    precision: EnginePrecision = None,
    store: Store = None,
    require_signature: RequireSignature = None,
) -> None:
    """Score a registered model on labelled images, with the intensity baseline and plate position for comparison."""
    from leigh_mlops.report.terminal_tables import score_table
    from leigh_mlops.study.evaluate_version import evaluate_version
    from leigh_mlops.tracking import Store as Tracking

    tracking = Tracking.open(store, trusted_key=require_signature)
    scored = evaluate_version(tracking, model, data, platemap, console, engine=engine, precision=precision)
    for sentence in scored.sentences:
        console.print(sentence, markup=False)
    console.print(score_table(scored.rows, title=f"Scored on {scored.seen}"))
    if json_file is not None:
        from leigh_mlops.report.image_files import atomic_write

        with atomic_write(json_file) as temporary:
            temporary.write_text(json.dumps(scored.to_json(), indent=2) + "\n")
        console.print(f"Wrote the scores to {json_file}.", markup=False)
    if out is not None:
        from leigh_mlops.jobs.reporting.evaluation_report import write_evaluation

        page = write_evaluation(out, scored, tracking, data)
        console.print(f"Wrote the page to {page}.", markup=False)
    words = [model, "--data", str(data), *([] if platemap is None else ["--platemap", str(platemap)])]
    words += ["--out", f"out-{data.stem}", *tracking.typed_options(store)]
    console.print(f"Next: {command_line('explain', *words)}", markup=False)


if __name__ == "__main__":
    run(evaluate)
