from pathlib import Path

import pytest
from matplotlib.figure import Figure

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage, build_model
from leigh_mlops.study import trial_pictures
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.examples import explain_examples, prior_samples
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.trial_pictures import log_trial_pictures
from leigh_mlops.tracking import Run, Store
from leigh_mlops.training import PreparedData
from tests.study.test_model_selection import build, data

__all__ = ["data"]

EPOCHS = [{"train/loss": 1.0, "val/loss": 0.9}, {"train/loss": 0.8, "val/loss": 0.95}]
AT = 1e9


def package(family: str, data: PreparedData) -> ModelPackage:
    return make_package(build(family, data), data.scale("linear"), data, fit_baselines(data), {}, references={})


def artifacts(run: Run, folder: str = "") -> list[str]:
    found = run.client.list_artifacts(run.id, folder)
    return [path for each in found for path in (artifacts(run, each.path) if each.is_dir else [each.path])]


def keys(run: Run) -> set[str]:
    return {Path(path).name.split("+")[0] for path in artifacts(run, "images")}


def test_trials_of_all_families_show_the_same_fields_under_the_same_names(data: PreparedData, tmp_path: Path) -> None:
    store = Store.open(str(tmp_path / "store"))
    runs = {family: store.start(family) for family in ("autoencoder", "iresnet")}
    titles = []
    for kept, (family, run) in enumerate(runs.items(), start=1):
        made = package(family, data)
        assert artifacts(run) == []
        log_trial_pictures(run, made, data, EPOCHS, kept=kept, at=AT)
        images = artifacts(run, "images")
        assert len(images) == 2 * len(keys(run)), "each image once, and a small copy"
        assert all("+step+0+timestamp+1000000000000+" in path for path in images), "all trials at one step"
        assert {"pictures/examples.png", "figures/training.png"} <= set(artifacts(run))
        assert "pictures" not in run.tags()
        rows = explain_examples(made, data).rows
        titles.append([row.title for row in rows])
        assert all(row.panels[1].caption.startswith("reconstruction, mean squared error") for row in rows)
    assert titles[0] == titles[1]
    assert [title.rpartition(" ")[2] for title in titles[0]] == ["DS", "DS", "TT", "TT"]
    shared = {"training", *(f"example {number}" for number in (1, 2, 3, 4))}
    assert keys(runs["autoencoder"]) == shared | {"errors"}
    assert keys(runs["iresnet"]) == shared | {"confusion", "scores DS TT", "predictions DS TT"}
    assert {"validation/confusion.png", "validation/scores_DS_TT.png"} <= set(artifacts(runs["iresnet"]))
    assert "validation/errors.png" in artifacts(runs["autoencoder"])


def test_a_variational_network_shows_samples_of_its_prior(data: PreparedData, tmp_path: Path) -> None:
    assert prior_samples(package("autoencoder", data)) == []
    model = build_model("autoencoder", classes=data.classes, image_size=32, widths=(4, 4), variational=True).eval()
    made = make_package(model, data.scale("linear"), data, None, {}, references={})
    assert [len(row.panels) for row in prior_samples(made, 6)] == [4, 2]
    run = Store.open(str(tmp_path / "store")).start("trial")
    log_trial_pictures(run, made, data, EPOCHS, kept=1, at=AT)
    assert "pictures/samples.png" in artifacts(run)
    assert "samples" in keys(run)


def test_a_network_that_cannot_be_explained_says_why(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> Figure:
        raise LeighError("A latent could not be inverted.")

    monkeypatch.setattr(trial_pictures, "explain_examples", refuse)
    run = Store.open(str(tmp_path / "store")).start("trial")
    made = package("autoencoder", data)
    for _ in range(2):  # a search that is resumed at its end logs them again
        log_trial_pictures(run, made, data, EPOCHS, kept=1, at=AT)
    assert run.tags()["pictures"] == "A latent could not be inverted."
    assert keys(run) == {"training", "errors"}
    assert len(artifacts(run, "images")) == 4
