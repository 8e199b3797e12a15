"""The figures and tables of the thesis, made from one folder of images by the commands of the package.

``python -m benchmarks.thesis FOLDER --out thesis`` trains at the published sizes, which takes a GPU or many hours;
``--image-size 64 --epochs 5`` makes the same files from a short training. docs/thesis.md says which file is which.
"""

import argparse
import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient
from rich.console import Console

from leigh_mlops.plates import write_table
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.study.prepare import DataSource, divided_table

SHARES = "60,10,30"
"""Training, validation and test part: the published 70 to 30, with a validation part cut from training."""

TRAINED = {
    "resnext": {"figure_4.1.png": "figures/training.png", "figure_4.2.png": "figures/predictions_"},
    "iresnet": {"figure_4.7.png": "figures/training.png", "figure_4.8.png": "figures/predictions_"},
}
"""Artifacts of a family's winning run, or their beginnings, by figure."""

EXPLAINED = {
    "resnext": (["--methods", "occlusion"], {"figure_4.3.png": "contact_sheet.png"}),
    "autoencoder": (
        ["--methods", "reconstruction,interpolation"],
        {"figures_4.4_and_4.6.png": "contact_sheet.png", "figure_4.5.png": "latents.png"},
    ),
    "iresnet": (
        ["--methods", "counterfactual,reconstruction", "--counterfactual", "alpha_0,alpha_1"],
        {"figures_4.9_and_4.11.png": "contact_sheet.png", "figure_4.10.png": "latents.png"},
    ),
}
"""Options of a family's job, and its files by figure."""


def main() -> None:
    """Make all files in the folder ``--out``."""
    given = _parse_options()
    out: Path = given.out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    table, store = out / "plate.parquet", ["--store", str(out / "mlruns")]
    sizes = [] if given.image_size is None else ["--image-size", str(given.image_size)]
    _call("ingest", str(given.data), "--out", str(table), *sizes)
    shutil.copy(table.with_suffix(".classes.png"), out / "figure_3.1.png")
    epochs = [] if given.epochs is None else ["--epochs", str(given.epochs)]
    _call("tune", "--data", str(table), "--preset", "published", "--shares", SHARES, *sizes, *epochs, *store)
    _copy_artifacts(out)
    fields = out / "test_fields.parquet"
    write_table(select_test_fields(table, given.fields), fields)
    for family, (options, files) in EXPLAINED.items():
        job = out / family
        _call("explain", f"models:/leigh-{family}@champion", "--data", str(fields), "--out", str(job), *options, *store)
        for figure, name in files.items():
            shutil.copy(job / name, out / figure)
    print(f"Wrote the figures and tables to {out}.")


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder of images, as for ingest")
    parser.add_argument("--out", type=Path, default=Path("thesis"))
    parser.add_argument("--image-size", type=int, help="side in pixels; by default the published 224")
    parser.add_argument("--epochs", type=int, help="of each family; by default the published numbers")
    parser.add_argument("--fields", type=int, default=12, help="test fields of each class that are explained")
    return parser.parse_args()


def _call(command: str, *arguments: str) -> None:
    subprocess.run([sys.executable, "-m", f"leigh_mlops.{command}", *arguments], check=True)


def select_test_fields(table: Path, per_class: int) -> pd.DataFrame:
    """Test fields of each class at even distances in the order of the table."""
    divided, _, _ = divided_table(DataSource(table, shares=SHARES), Console(quiet=True))
    tested = divided[divided[Metadata.SPLIT] == "test"].drop(columns=[Metadata.SPLIT])
    chosen = [
        rows.iloc[np.linspace(0, len(rows) - 1, min(per_class, len(rows))).round().astype(int)]
        for _, rows in tested.groupby(Metadata.CONDITION)
    ]
    return pd.concat(chosen).sort_index().reset_index(drop=True)


def _copy_artifacts(out: Path) -> None:
    """Copy the figures of the winning runs, and write their hyperparameters and test scores as tables."""
    client = MlflowClient(f"sqlite:///{out}/mlruns/mlflow.db")
    experiments = [each.experiment_id for each in client.search_experiments()]
    runs = {run.data.tags["model"]: run for run in client.search_runs(experiments, "tags.winner = 'true'")}
    for family, figures in TRAINED.items():
        paths = [entry.path for entry in client.list_artifacts(runs[family].info.run_id, "figures")]
        for figure, beginning in figures.items():
            (path,) = (path for path in paths if path.startswith(beginning))
            shutil.copy(client.download_artifacts(runs[family].info.run_id, path), out / figure)
    scores = {
        family: {name.removeprefix("test/"): value for name, value in run.data.metrics.items() if "test/" in name}
        for family, run in runs.items()
    }
    _write_columns(out / "tables_3.1_to_3.4.csv", {family: run.data.params for family, run in runs.items()})
    _write_columns(out / "scores.csv", scores)


def _write_columns(path: Path, columns: dict[str, dict[str, object]] | dict[str, dict[str, str]]) -> None:
    """Write a table with one column per family, and one row per name that any of them has."""
    names = sorted({name for values in columns.values() for name in values})
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["", *columns])
        rows.writerows([name, *(values.get(name, "") for values in columns.values())] for name in names)


if __name__ == "__main__":
    main()
