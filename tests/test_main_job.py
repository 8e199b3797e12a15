"""The whole way by its commands: search, registry, evaluation, explanation, on a small plate."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow.tracking import MlflowClient
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.evaluate import evaluate
from leigh_mlops.explain import explain
from leigh_mlops.promote import promote
from tests.conftest import write_class_folders

pytestmark = pytest.mark.ray

FAMILIES = ("autoencoder", "iresnet", "resnext")
TUNE = ["tune", "--preset", "quick", "--trials", "2", "--epochs", "2", "--image-size", "32", "--seed", "3"]

EXPLAIN = [
    "explain", "models:/leigh-iresnet@champion", "--data", "broken", "--out", "out", "--sweep", "3",
    "--oracle", "models:/leigh-resnext@champion",
]  # fmt: skip


class Workshop:
    """A folder in which commands run as a user would run them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "plate"

    def run(self, *arguments: str, ray_address: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command on the cluster named, or on one that it starts itself, as it does by default."""
        environment = os.environ | {
            "LEIGH_CACHE": str(self.folder / "cache"),
            "LEIGH_STATE": str(self.folder / "state"),
        }
        environment.pop("MLFLOW_TRACKING_URI", None)
        command = [sys.executable, "-m", f"leigh_mlops.{arguments[0]}", *arguments[1:]]
        command += ["--ray-address", ray_address] if ray_address else []
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlruns/mlflow.db"

    @property
    def store(self) -> MlflowClient:
        return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def runs(self, model: str) -> list[mlflow.entities.Run]:
        return self.store.search_runs(["1"], f"tags.model = '{model}'", order_by=["attributes.start_time"])


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workshop, str]:
    shop = Workshop(tmp_path_factory.mktemp("shop"))
    write_class_folders(shop.data, wells=10, size=32)
    done = shop.run(*TUNE, "--data", "plate")
    assert done.stderr == "", "Ray and MLflow are quiet"
    return shop, done.stdout


def test_the_search_says_what_a_biologist_wants_to_know(searched: tuple[Workshop, str]) -> None:
    _, said = searched
    assert "40 fields of 20 wells, channels DAPI, TMRM, DAPI+TMRM" in said
    assert "no well stands in two" in said
    assert "a threshold on intensity" in said
    for family in FAMILIES:
        assert f"models:/leigh-{family}/1 ({family}-" in said
        assert f"It is champion: the first version of leigh-{family}." in said
    assert "python -m leigh_mlops.explain models:/leigh-iresnet/1 --data plate" in said


def test_each_trial_is_one_run_beside_the_baseline(searched: tuple[Workshop, str]) -> None:
    shop, _ = searched
    (parent,) = shop.store.search_runs(["1"], "tags.kind = 'search' and tags.data = 'plate'")[-1:]
    assert parent.info.status == "FINISHED"
    for family in FAMILIES:
        runs = [run for run in shop.runs(family) if run.data.tags["mlflow.parentRunId"] == parent.info.run_id]
        assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
        assert len({run.data.tags["trial"] for run in runs}) == 2
        tested = [run for run in runs if any(name.startswith("test/") for name in run.data.metrics)]
        assert len(tested) == 1, "the test part is touched once"
        for run in runs:
            assert len(shop.store.get_metric_history(run.info.run_id, "epoch/train/loss")) == 2
    baseline = shop.runs("baseline")[0].data.metrics
    assert {"val/accuracy", "val/wells/accuracy", "val/log_loss", "val/z_prime", "val/z_prime_log_odds"} <= set(
        baseline
    )
    assert "val/mse" in shop.runs("pca")[0].data.metrics
    assert "val/auc" in shop.runs("position")[0].data.metrics
    assert parent.data.metrics["data/leaked_wells"] == 0


def test_metric_names_are_shared(searched: tuple[Workshop, str]) -> None:
    shop, _ = searched
    shared = {"val/accuracy", "val/balanced_accuracy", "val/auc", "val/f1_macro", "val/log_loss", "val/z_prime"}
    for family in ("iresnet", "resnext"):
        metrics = set(shop.runs(family)[0].data.metrics)
        assert shared <= metrics
        assert {name.replace("val/", "val/wells/") for name in shared} <= metrics
    assert "val/mse" in shop.runs("autoencoder")[0].data.metrics


def artifacts(client: MlflowClient, run_id: str, path: str | None = None) -> set[str]:
    found = set()
    for entry in client.list_artifacts(run_id, path):
        found |= artifacts(client, run_id, entry.path) if entry.is_dir else {entry.path}
    return found


def check_kept_trial(shop: Workshop, run: mlflow.entities.Run) -> None:
    """Every kept trial has pictures, networks of its best and last epoch, and the scores of the former."""
    kept = int(run.data.tags["best_epoch"])
    found = artifacts(shop.store, run.info.run_id)
    assert {"pictures/examples.png", "figures/training.png"} <= found
    assert {f"example {number}" for number in (1, 2, 3, 4)} <= {Path(path).name.split("+")[0] for path in found}
    models = {model.model_id: model.step for model in run.outputs.model_outputs}
    assert sorted(models.values()) == sorted({kept, 2})
    for identity, step in models.items():
        own = {metric.key: metric.value for metric in shop.store.get_logged_model(identity).metrics}
        curve = shop.store.get_metric_history(run.info.run_id, "epoch/val/loss")
        assert own["epoch/val/loss"] == curve[step - 1].value
        assert ("val/loss" in own) == (step == kept)
    assert run.data.metrics["val/loss"] == curve[kept - 1].value
    assert "Stored: `model`" in run.data.tags["mlflow.note.content"]
    assert "" not in run.data.tags.values()


def test_pictures_stand_beside_the_numbers(searched: tuple[Workshop, str]) -> None:
    shop, _ = searched
    winner = next(run for run in shop.runs("iresnet") if run.data.tags.get("winner"))
    assert {
        "figures/confusion.png",
        "figures/scores_DS_TT.png",
        "figures/predictions_DS_TT.png",
        "figures/training.png",
        "pictures/examples.png",
    } <= artifacts(shop.store, winner.info.run_id)
    for family in FAMILIES:
        for run in shop.runs(family)[:2]:
            check_kept_trial(shop, run)
    (parent,) = shop.store.search_runs(["1"], "tags.kind = 'search' and tags.data = 'plate'")[-1:]
    assert {"data/split.csv", "figures/learning_curves.png", "settings/spaces.json", "summary.txt"} <= artifacts(
        shop.store, parent.info.run_id
    )


def test_the_same_seed_gives_the_same_trials_and_metrics(searched: tuple[Workshop, str], tmp_path: Path) -> None:
    first, _ = searched
    second = Workshop(tmp_path / "again")
    shutil.copytree(first.data, second.data)
    second.run(*TUNE, "tuning/resnext.yaml", "--data", "plate")  # on a cluster, precision auto may be another one

    def numbers(shop: Workshop) -> list[dict[str, float]]:
        runs = shop.runs("resnext")[:2]
        assert len({run.data.params["learning_rate"] for run in runs}) == 2
        kept = [{k: v for k, v in run.data.metrics.items() if "seconds" not in k and "test/" not in k} for run in runs]
        return sorted(kept, key=lambda metrics: metrics["train/loss"])

    assert numbers(first) == numbers(second)


def test_evaluation_repeats_the_logged_test_scores(searched: tuple[Workshop, str]) -> None:
    shop, _ = searched
    split = shop.folder / "test.csv"
    winner = next(run for run in shop.runs("resnext") if run.data.tags.get("winner"))
    (parent,) = shop.store.search_runs(["1"], "tags.kind = 'search' and tags.data = 'plate'")[-1:]
    table = pd.read_csv(shop.store.download_artifacts(parent.info.run_id, "data/split.csv"))
    test = table[table["Metadata_Split"] == "test"]
    small = shop.folder / "unseen"
    for row in test.itertuples():
        name = f"{row.Metadata_Condition}{row.Metadata_Row:03d}{row.Metadata_Col:03d}-{row.Metadata_Site}"
        (small / row.Metadata_Condition).mkdir(parents=True, exist_ok=True)
        (source,) = (shop.data / row.Metadata_Condition).glob(f"{name}-*")
        shutil.copy(source, small / row.Metadata_Condition)
    evaluate("models:/leigh-resnext@champion", data=small, json_file=split, store=shop.uri)
    scores = json.loads(split.read_text())
    assert all(scores[part] for part in ("wells", "baseline", "position"))
    for name in ("accuracy", "log_loss", "f1_macro", "auc", "z_prime"):
        if f"test/{name}" in winner.data.metrics:
            assert scores["fields"][name] == pytest.approx(winner.data.metrics[f"test/{name}"], rel=1e-4)


def test_evaluation_leaves_wells_out_that_made_the_model(
    searched: tuple[Workshop, str], capsys: pytest.CaptureFixture[str]
) -> None:
    shop, _ = searched
    evaluate("models:/leigh-resnext/1", data=shop.data, store=shop.uri)
    said = capsys.readouterr().out
    assert "4 wells that it has not seen (16 wells on which it was trained or chosen are left out)" in said


@pytest.fixture(scope="module")
def explained(searched: tuple[Workshop, str]) -> tuple[Workshop, Path]:
    shop, _ = searched
    broken = shop.folder / "broken"
    shutil.copytree(shop.data, broken)
    next((broken / "DS").iterdir()).write_text("no image")
    said = shop.run(*EXPLAIN).stdout
    assert said.strip().splitlines()[-1] == "39 of 40 fields explained; 1 failed, see out/failures.csv."
    return shop, shop.folder / "out"


def test_every_field_has_its_row_and_its_counterfactuals(explained: tuple[Workshop, Path]) -> None:
    _, out = explained
    fields = pd.read_parquet(out / "fields.parquet")
    assert len(fields) == 39
    sums = fields[["probability_DS", "probability_TT"]].sum(axis=1)
    assert sums.between(1 - 1e-6, 1 + 1e-6).all()
    for name in ("counterfactual_boundary", "counterfactual_typical"):
        assert {
            "length",
            "class",
            "probability",
            "valid",
            "reencoding_error",
            "status",
            "attempts",
            "way",
            "distance",
        } <= {column.removeprefix(f"{name}_") for column in fields}
        for path in fields[f"picture_{name}"]:
            assert (out / path).exists()
            assert (out / path).with_suffix(".tif").exists()
        assert set(fields[f"{name}_oracle_leigh-resnext-1_class"]) <= {"DS", "TT"}
    assert all((out / path).exists() for path in fields["picture_sweep_strip"].dropna())
    wells = pd.read_parquet(out / "wells.parquet")
    assert len(wells) == 20
    assert wells["fields"].sum() == 39


def test_a_broken_image_is_a_row_of_the_failures(explained: tuple[Workshop, Path]) -> None:
    _, out = explained
    (failure,) = pd.read_csv(out / "failures.csv").itertuples()
    assert "not a readable image" in failure.reason
    assert list(pd.read_csv(out / "hits.csv").columns)[:2] == ["Metadata_Plate", "Metadata_Well"]
    assert json.loads((out / "job.json").read_text())["failed"] == 1


def test_the_job_leaves_a_sheet_and_a_page(explained: tuple[Workshop, Path]) -> None:
    shop, out = explained
    with Image.open(out / "contact_sheet.png") as sheet:
        assert sheet.width > 600
    page = (out / "report" / "index.html").read_text()
    assert "39 fields of 20 wells were explained; 1 could not be explained" in page
    (run,) = shop.store.search_runs(["1"], "tags.kind = 'explain'")
    assert run.data.tags["model_version"] == "models:/leigh-iresnet/1"


def test_another_job_is_refused_the_folder(explained: tuple[Workshop, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    shop, out = explained
    monkeypatch.chdir(shop.folder)
    with pytest.raises(LeighError, match="holds another job"):
        explain("models:/leigh-resnext@champion", data=shop.folder / "broken", out=out, store=shop.uri)
    with pytest.raises(LeighError, match=r"confidence is None, not 0\.9"):
        explain(
            "models:/leigh-iresnet@champion",
            data=Path("broken"),
            out=out,
            oracle=["models:/leigh-resnext@champion"],
            sweep=3,
            confidence=0.9,
            store=shop.uri,
        )


def test_an_oracle_is_another_classifier(searched: tuple[Workshop, str], tmp_path: Path) -> None:
    shop, _ = searched
    given = {"data": shop.data, "out": tmp_path / "out", "store": shop.uri}
    with pytest.raises(LeighError, match="is the explained model itself"):
        explain("models:/leigh-iresnet@champion", oracle=["models:/leigh-iresnet/1"], **given)
    with pytest.raises(LeighError, match="is of the family autoencoder and does not classify"):
        explain("models:/leigh-iresnet@champion", oracle=["models:/leigh-autoencoder@champion"], **given)
    assert not (tmp_path / "out").exists()


def test_started_again_it_does_what_is_left_and_what_was_mended(
    explained: tuple[Workshop, Path], ray_address: str
) -> None:
    shop, out = explained
    before = pd.read_parquet(out / "fields.parquet")
    part = next(part for part in (out / "parts").iterdir() if "failure" not in part.read_text())
    lost = len(json.loads(part.read_text()))
    part.unlink()
    broken = next(path for path in (shop.folder / "broken" / "DS").iterdir() if path.stat().st_size < 100)
    shutil.copy(shop.data / "DS" / broken.name, broken)
    said = shop.run(*EXPLAIN, ray_address=ray_address).stdout
    assert f"{39 - lost} of 40 fields were done before; {lost + 1} are left" in said
    assert said.strip().splitlines()[-1] == "40 of 40 fields explained."
    assert len(pd.read_csv(out / "failures.csv")) == 0
    after = pd.read_parquet(out / "fields.parquet")
    assert (after["field"].str.split("_").str[1] == after["Metadata_Well"]).all()
    again = after[after["field"].isin(before["field"])].reset_index(drop=True)
    # Rounding decides on which side of the boundary a file lies, and whether a pixel of the 1024 passes a threshold.
    sides = [name for name in before if name.startswith("counterfactual_boundary") and before[name].dtype.kind != "f"]
    pd.testing.assert_frame_equal(
        before.drop(columns=sides), again.drop(columns=sides), check_exact=False, rtol=1e-3, atol=2e-3
    )


@pytest.mark.parametrize(
    ("family", "columns", "files"),
    [
        ("resnext", ["occlusion_target"], ["occlusion.png"]),
        ("autoencoder", ["reconstruction_mse"], ["reconstruction.png", "interpolation.png", "interpolation.gif"]),
    ],
)
def test_other_families_explain_in_their_way(
    searched: tuple[Workshop, str], family: str, columns: list[str], files: list[str], ray_address: str
) -> None:
    shop, _ = searched
    model = f"models:/leigh-{family}@champion"
    shop.run("explain", model, "--data", "plate", "--out", family, ray_address=ray_address)
    fields = pd.read_parquet(shop.folder / family / "fields.parquet")
    assert set(columns) <= set(fields.columns)
    folder = shop.folder / family / "images" / fields["field"].iloc[0]
    assert {path.name for path in folder.iterdir()} == {"image.png", "image_1.png", "image_2.png", *files}


def test_promote_moves_the_champion(searched: tuple[Workshop, str], capsys: pytest.CaptureFixture[str]) -> None:
    shop, _ = searched
    promote("leigh-resnext", 1, store=shop.uri)
    assert "is now models:/leigh-resnext@champion" in capsys.readouterr().out
    with pytest.raises(LeighError, match="has no models:/leigh-resnext/99"):
        promote("leigh-resnext", 99, store=shop.uri)


def test_a_registered_version_is_a_starting_point(searched: tuple[Workshop, str], ray_address: str) -> None:
    shop, _ = searched
    said = shop.run(
        *("train", "resnext", "--data", "plate", "--preset", "quick", "--epochs", "1", "--image-size", "32"),
        *("--init", "models:/leigh-resnext/1", "--set", "learning_rate=0.0001", "--seed", "3"),
        ray_address=ray_address,
    ).stdout
    assert "models:/leigh-resnext/2 (resnext-1):" in said
    run = shop.runs("resnext")[-1]
    assert run.data.params["learning_rate"] == "0.0001"


def test_mlflow_itself_can_predict(searched: tuple[Workshop, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    shop, _ = searched
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    mlflow.set_tracking_uri(shop.uri)
    mlflow.set_registry_uri(shop.uri)
    model = mlflow.pyfunc.load_model("models:/leigh-resnext@champion")
    assert model.input_example.shape == (1, 3, 32, 32)
    assert model.input_example.max() > 1
    answer = model.predict(np.concatenate([model.input_example, model.input_example]))
    assert list(answer) == ["predicted", "probability_DS", "probability_TT", "seen"]
    assert (answer["probability_DS"] + answer["probability_TT"]).tolist() == pytest.approx([1, 1])
