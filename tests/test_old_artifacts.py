"""Packages, journals and jobs of version 0.1.0, made by that version, are still read."""

import io
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.explain_job import ExplainJob
from leigh_mlops.jobs.options import ExplainOptions, resolve_options
from leigh_mlops.jobs.records import read_records
from leigh_mlops.jobs.reporting.outputs import build_tables
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.plates.columns import is_metadata
from leigh_mlops.screening.screen import screen
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.trials import Journal, collect_trials

OLD = Path(__file__).parent / "artifacts" / "v0_1_0"
RENAMED = {f"counterfactual_{kind}_light": f"counterfactual_{kind}_status" for kind in ("boundary", "confident")}
"""Column of version 0.1.0 to its name of today."""


@pytest.fixture(scope="module")
def package() -> ModelPackage:
    return load_package(OLD / "package")


@pytest.fixture(scope="module")
def fields() -> pd.DataFrame:
    """Fields of the old job, which was run on the images: its table lacks what `leigh ingest` had added."""
    table = pd.read_parquet(OLD / "table.parquet")
    return build_tables(OLD / "job", table[[name for name in old_table("fields") if is_metadata(name)]])[0]


ADDED = {"along_axis", "off_axis", "unknown_plate"}
"""Columns that version 0.1.0 did not have."""


def old_table(name: str) -> pd.DataFrame:
    content = json.loads((OLD / "job" / f"{name}.json").read_text())
    return pd.DataFrame(content["data"], columns=content["columns"]).rename(columns=RENAMED)


def assert_equal_tables(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert [name for name in found if name not in ADDED] == list(expected)
    for name in expected:
        new, old = (table[name].astype(object).where(table[name].notna(), None).tolist() for table in (found, expected))
        if any(isinstance(value, float) for value in old):
            np.testing.assert_allclose(np.array(new, float), np.array(old, float), rtol=1e-9, err_msg=name)
        else:
            assert new == old, name


def test_a_package_gives_its_logits(package: ModelPackage) -> None:
    spec = package.model.spec
    seed = torch.Generator().manual_seed(0)
    images = torch.rand(2, spec.channels, spec.image_size, spec.image_size, generator=seed)
    with torch.no_grad():
        logits = package.model.eval()(images)
    np.testing.assert_allclose(logits, json.loads((OLD / "logits.json").read_text()), atol=1e-5)


def test_a_journal_gives_its_trials(tmp_path: Path) -> None:
    shutil.copy(OLD / "journal.jsonl", tmp_path)
    trials = collect_trials(Journal(tmp_path / "journal.jsonl").events, "autoencoder")
    assert list(trials) == [1]
    lines = [json.loads(line) for line in (OLD / "journal.jsonl").read_text().splitlines()]
    epochs = [line for line in lines if line["what"] == "epoch"]
    trial = trials[1]
    assert len(trial.epochs) == 28
    assert trial.epochs == [line["metrics"] for line in epochs]
    assert (trial.best_epoch, trial.best) == (epochs[-1]["best_epoch"], epochs[-1]["best"])
    assert trial.config == epochs[-1]["config"]
    assert trial.checkpoint == Path(epochs[-1]["checkpoint"])
    assert not trial.has_ended


def test_records_have_the_columns_of_today(fields: pd.DataFrame) -> None:
    assert set(RENAMED) <= set(json.loads((OLD / "job" / "fields.json").read_text())["columns"])
    assert not set(RENAMED) & set(fields)
    assert len(list(read_records(OLD / "job"))) == len(fields) == 20


def test_the_tables_of_a_job_are_what_they_were(fields: pd.DataFrame, package: ModelPackage) -> None:
    found = screen(fields, package)
    assert_equal_tables(found.fields, old_table("fields"))
    assert_equal_tables(found.wells, old_table("wells"))


def test_a_job_is_resumed(tmp_path: Path, package: ModelPackage) -> None:
    shutil.copytree(OLD / "job", tmp_path / "job")
    version: Any = SimpleNamespace(uri="models:/leigh-iresnet/1")

    def begin(**options: object) -> dict[str, Any]:
        job = ExplainJob(
            SimpleNamespace(), version.uri, DataSource(Path("plate")), tmp_path / "job", Console(file=io.StringIO()),
            options=resolve_options(ExplainOptions(**{"engine": "torch", "precision": "fp32"} | options), package),
        )  # type: ignore[arg-type]  # fmt: skip
        return job._describe_job(version, [], ["counterfactual"], {"": None}, {}, {})

    with pytest.raises(LeighError, match=r"holds another job \(confidence is 0.95, not 0.99\)"):
        begin(confidence=0.99)
    with pytest.raises(LeighError, match=r"holds another job \(engine is 'torch', not 'fused'\)"):
        begin(engine="fused")
    before = json.loads((OLD / "job" / "job.json").read_text())
    assert {name: begin()[name] for name in ("sample", "full_colour", "begun")} == {
        name: before[name] for name in ("sample", "full_colour", "begun")
    }
