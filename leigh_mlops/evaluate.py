"""Scores of a registered version on a data set, beside the baselines."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from leigh_mlops.commands import Data, Platemap, Store, console, run


def evaluate(
    model: Annotated[str, typer.Argument(help="Such as models:/leigh-iresnet@champion or models:/leigh-resnext/2.")],
    data: Data,
    platemap: Platemap = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores here, too.")] = None,
    store: Store = None,
) -> None:
    """Score a registered model on labelled images, beside a threshold on intensity and the position."""
    from leigh_mlops.study import evaluate_version
    from leigh_mlops.tracking import Store as Tracking

    result = evaluate_version(Tracking.open(store), model, data, platemap, console)
    table = Table(title=f"{result['model']}: {result['seen']}", title_justify="left")
    for heading in ("score", "model (fields)", "model (wells)", "intensity (wells)", "position (wells)"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for score in result["fields"]:
        columns = (result["fields"], result["wells"], *(_wells(result[kind]) for kind in ("baseline", "position")))
        table.add_row(score, *(_cell(column, score) for column in columns))
    console.print(table)
    if json_file is not None:
        from leigh_mlops.report.files import replacing

        with replacing(json_file) as temporary:
            temporary.write_text(json.dumps(result, indent=2) + "\n")
        console.print(f"Written to {json_file}.", markup=False)
    console.print(f"Next: python -m leigh_mlops.explain {model} --data {data} --out out-{data.stem}", markup=False)


def _wells(scores: dict[str, float]) -> dict[str, float]:
    return {name.removeprefix("wells/"): value for name, value in scores.items() if name.startswith("wells/")}


def _cell(scores: dict[str, float], name: str) -> str:
    return f"{scores[name]:.4f}" if name in scores else "-"


if __name__ == "__main__":
    run(evaluate)
