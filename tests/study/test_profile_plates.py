"""Profiles of a drawn plate by an untrained network, as files that other tools read."""

import json
import shutil
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.images import IntensityScale
from leigh_mlops.models import ModelPackage, Network, build_model
from leigh_mlops.plates import write_demo_plate
from leigh_mlops.study import partial_features
from leigh_mlops.study.field_features import embed_fields
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.study.profile_files import profile_paths
from leigh_mlops.study.profile_plates import ProfileRequest, hold_out_controls, normalise_profiles, profile_plates
from leigh_mlops.study.profile_scores import find_roles, treatment_table
from leigh_mlops.study.profiles import Profiles, find_usable_fields
from leigh_mlops.training import PreparedData

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it sets an option that pandas no longer has
    from pycytominer import aggregate, normalize

QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("profiles") / "plate"
    write_demo_plate(folder, plates=2, wells_per_class=4, fields_per_well=2, image_size_px=32, seed=1)
    return folder


def package(family: str = "iresnet", **architecture: object) -> ModelPackage:
    torch.manual_seed(0)
    architecture = architecture or {"blocks": (1, 1), "widths": (8, 8)}
    model = build_model(family, classes=("DS", "TT"), image_size=32, channels=2, **architecture).eval()
    scale = IntensityScale("linear", 65535, (0.01, 0.01), (0.01, 0.01)).to_json()
    return ModelPackage(model, ("DAPI", "TMRM"), scale, arrays={"training_digests": np.zeros(0, np.uint64)})


def run(plate: Path, out: Path, **choices: Any) -> list[str]:
    request = ProfileRequest("model", DataSource(plate), **choices)
    return profile_plates(package(), request, profile_paths(out), QUIET).sentences


def test_profiles_of_wells_are_medians_of_their_fields(plate: Path, tmp_path: Path) -> None:
    said = run(plate, tmp_path / "p.parquet")
    wells, fields = (pd.read_parquet(tmp_path / f"p{end}.parquet") for end in ("", "_fields"))
    features = [name for name in fields if not name.startswith("Metadata_")]
    assert len(fields) == 2 * len(wells) == 32
    assert said[-1] == (
        f"Wrote profiles of {len(features)} features for 16 wells ({tmp_path / 'p.parquet'}) and 32 fields "
        f"({tmp_path / 'p_fields.parquet'})."
    )
    assert all(fields[name].dtype == np.float32 for name in features)
    assert fields.attrs == {"model": "model", "features": "embedding", "normalisation": "none"}
    assert wells.attrs == fields.attrs | {"aggregate": "median"}
    assert (wells["Metadata_Fields"] == 2).all()
    assert "Metadata_Site" not in wells
    assert set(wells["Metadata_Control"].dropna()) >= {"negcon"}
    first = fields[
        (fields["Metadata_Plate"] == wells["Metadata_Plate"][3])
        & (fields["Metadata_Well"] == wells["Metadata_Well"][3])
    ]
    np.testing.assert_allclose(wells.loc[3, features].to_numpy(float), first[features].median().to_numpy(), rtol=1e-5)


def test_pycytominer_reads_the_files(plate: Path, tmp_path: Path) -> None:
    run(plate, tmp_path / "p.parquet")
    wells, fields = (pd.read_parquet(tmp_path / f"p{end}.parquet") for end in ("", "_fields"))
    features = [name for name in fields if not name.startswith("Metadata_")]
    medians = aggregate(fields, strata=["Metadata_Plate", "Metadata_Well"], operation="median", image_features=True)
    np.testing.assert_allclose(medians[features], wells[features], rtol=1e-6)
    normalised = normalize(wells, samples="Metadata_Control == 'negcon'", image_features=True)
    assert list(normalised) == list(wells)


def test_intensities_are_written_in_the_same_form(plate: Path, tmp_path: Path) -> None:
    run(plate, tmp_path / "i.parquet", features="intensity", aggregate="mean")
    wells = pd.read_parquet(tmp_path / "i.parquet")
    assert [name for name in wells if not name.startswith("Metadata_")][9] == "Image_Intensity_Mean_TMRM"
    assert len([name for name in wells if not name.startswith("Metadata_")]) == 18
    means = wells.groupby("Metadata_Condition")["Image_Intensity_Mean_TMRM"].mean()
    assert means["TT"] < means["DS"]


def test_fields_that_cannot_be_read_are_listed_and_flawed_ones_left_out(plate: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plate, tmp_path / "plate")
    broken = sorted(copy.rglob("*.tif*"))[0]
    broken.write_bytes(b"no image")
    said = run(copy, tmp_path / "p.parquet")
    failures = pd.read_csv(tmp_path / "p_failures.csv")
    assert failures["path"].tolist() == [str(broken)]
    assert said[0] == f"1 field can't be read and is left out, see {tmp_path / 'p_failures.csv'}."
    assert len(pd.read_parquet(tmp_path / "p_fields.parquet")) == 31
    run(plate, tmp_path / "p.parquet")
    assert not (tmp_path / "p_failures.csv").exists()


def test_normalised_profiles_of_a_screen_are_scored(tmp_path: Path) -> None:
    write_demo_plate(
        tmp_path / "screen", classes=("DS", "WT"), plates=2, wells_per_class=14, fields_per_well=1, image_size_px=32,
        compounds=("inert", "rescuer"), plate_effect=0.5, seed=1,
    )  # fmt: skip
    said = run(tmp_path / "screen", tmp_path / "p.parquet", normalisation="mad")
    about = json.loads((tmp_path / "p_scores.json").read_text())
    scores = pd.read_csv(tmp_path / "p_scores.csv").set_index(["features", "normalisation"])
    assert len(scores) == len(about["scores"]) == 10
    assert about["replicates"] == "treatment"
    assert set(about["sentences"]) <= set(said)
    intensity = scores.loc["intensity"]
    assert intensity["plate_share"]["mad"] < 0.5 * intensity["plate_share"]["none"]
    assert set(pd.read_csv(tmp_path / "p_compounds.csv")["compound"]) == {"inert", "rescuer"}
    assert not (tmp_path / "p_consistency.csv").exists()
    wells = pd.read_parquet(tmp_path / "p.parquet")
    assert wells.attrs["normalisation"] == "mad"
    controls = wells[(wells["Metadata_Control"] == "negcon") & (wells["Metadata_Plate"] == "plate1")]
    features = [name for name in wells if not name.startswith("Metadata_")]
    np.testing.assert_allclose(controls[features].median(), 0, atol=1e-5)


def test_inert_compounds_are_not_active_against_controls_that_did_not_fit_the_normalisation() -> None:
    """Two plates of noise, in which one compound has an effect."""
    rng, rows, features = np.random.default_rng(0), [], []
    for plate in ("P1", "P2"):
        for place, compound in enumerate(["DMSO"] * 16 + ["inert"] * 4 + ["idle"] * 4 + ["strong"] * 4):
            role = "negcon" if compound == "DMSO" else None
            well = {"Metadata_Plate": plate, "Metadata_Well": f"A{place + 1:02d}"}
            rows.append(well | {"Metadata_compound": compound, "Metadata_Control": role})
            features.append(rng.normal(size=100) + 2 * (compound == "strong") * (np.arange(100) < 20))
    wells = Profiles(pd.DataFrame(rows), np.array(features), tuple(f"Image_Embedding_{n}" for n in range(100)))
    roles = find_roles(wells.metadata)
    for method in ("sphering", "tvn"):
        request = ProfileRequest("model", DataSource(Path()), normalisation=method)
        normalised, held_out = normalise_profiles(wells, request), hold_out_controls(wells, request, roles)
        fitted, cross_fitted = (
            treatment_table(normalised, roles, each).set_index("compound")["activity_p"] for each in ((), held_out)
        )
        assert fitted[["inert", "idle"]].max() < 0.01
        assert cross_fitted[["inert", "idle"]].min() > 0.05
        assert cross_fitted["strong"] < 0.01
    assert hold_out_controls(wells, ProfileRequest("model", DataSource(Path()), normalisation="mad"), roles) == []
    few = replace(roles, controls=roles.controls & (wells.metadata["Metadata_Well"] < "A06").to_numpy())
    assert hold_out_controls(wells, request, few) == []


def test_plates_without_negative_controls_are_named(plate: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plate, tmp_path / "plate")
    platemap = pd.read_csv(copy / "platemap.csv")
    platemap.drop(columns="control").to_csv(copy / "platemap.csv", index=False)
    said = run(copy, tmp_path / "p.parquet", features="intensity")
    sentence = "Plate plate1 has 0 wells of negative controls, and 3 are needed to normalise profiles; add"
    assert said[0].startswith(sentence)
    assert len(pd.read_csv(tmp_path / "p_scores.csv")) == 1
    with pytest.raises(LeighError, match=sentence):
        run(copy, tmp_path / "p.parquet", features="intensity", normalisation="tvn")


def test_wells_of_one_field_are_said(tmp_path: Path) -> None:
    write_demo_plate(tmp_path / "one", wells_per_class=2, fields_per_well=1, image_size_px=32, seed=1)
    said = run(tmp_path / "one", tmp_path / "p.parquet", features="intensity")
    assert said[0] == "No well has two usable fields, so the profile of a well is that of its single field."


@pytest.mark.parametrize(
    ("choice", "sentence"),
    [
        ({"features": "shape"}, "--features 'shape' is unknown; choose embedding or intensity"),
        ({"aggregate": "sum"}, "--aggregate 'sum' is unknown; choose median or mean"),
        ({"normalisation": "z"}, "--normalise 'z' is unknown; choose none, mad, inverse_normal, sphering or tvn"),
        ({"regularisation": 0.0}, "--regularisation is 0; give a share above 0"),
    ],
)
def test_an_unknown_choice_is_named(choice: dict[str, Any], sentence: str) -> None:
    ProfileRequest("model", DataSource(None)).check()
    with pytest.raises(LeighError, match=sentence):
        ProfileRequest("model", DataSource(None), **choice).check()


def test_an_unknown_format_and_a_missing_library_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LeighError, match=r"has no known format; end its name in \.parquet or \.h5ad"):
        profile_paths(tmp_path / "p.xlsx")
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(LeighError, match=r"needs anndata, which is not installed; install leigh_mlops\[anndata\]"):
        profile_paths(tmp_path / "p.h5ad")


def test_anndata_reads_the_file(plate: Path, tmp_path: Path) -> None:
    anndata = pytest.importorskip("anndata", exc_type=ImportError)
    run(plate, tmp_path / "p.parquet")
    run(plate, tmp_path / "p.h5ad")
    read, wells = anndata.read_h5ad(tmp_path / "p.h5ad"), pd.read_parquet(tmp_path / "p.parquet")
    np.testing.assert_array_equal(read.X, wells[list(read.var_names)])
    assert read.obs["Metadata_Well"].tolist() == wells["Metadata_Well"].tolist()
    assert read.obs["Metadata_Control"].isna().tolist() == wells["Metadata_Control"].isna().tolist()
    assert read.uns["features"] == "embedding"


def usable(package: ModelPackage, folder: Path) -> tuple[PreparedData, np.ndarray]:
    fields = find_usable_fields(package, DataSource(folder), QUIET)
    return fields.data, fields.rows


class Blind(Network):
    """A network without latents, or with the same ones for all images."""

    task = "classify"
    latents: torch.Tensor | None = None

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        if self.latents is None:
            return super().encode(images)
        return self.latents.expand(len(images), -1)


@pytest.mark.parametrize(
    ("latents", "sentence"),
    [
        (None, "A network of the family iresnet gives no latents, so it has no embedding; choose another model"),
        (torch.ones(1, 20), "All 32 fields have the same 20 embedding features, so that nothing tells them apart"),
        (torch.full((1, 20), torch.nan), "The embeddings of 32 of 32 fields are not finite; check their intensities"),
    ],
)
def test_a_model_without_a_usable_embedding_is_refused(
    plate: Path, tmp_path: Path, latents: torch.Tensor | None, sentence: str
) -> None:
    made = package()
    model = Blind(made.model.spec)
    model.weight, model.latents = torch.nn.Parameter(torch.ones(1)), latents
    request = ProfileRequest("model", DataSource(plate))
    with pytest.raises(LeighError, match=sentence):
        profile_plates(replace(made, model=model), request, profile_paths(tmp_path / "p.parquet"), QUIET)


def test_a_network_that_adapts_to_plates_needs_controls_on_plates_without_labels(plate: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(plate, tmp_path / "plate")
    (copy / "platemap.csv").unlink()
    profile_plates(package(), ProfileRequest("model", DataSource(copy)), profile_paths(tmp_path / "p.parquet"), QUIET)
    adapted = replace(package(), about={"adaptation": "controls"})
    with pytest.raises(LeighError, match="plate plate1 has 0 fields of negative controls that may serve to adapt"):
        embed_fields(adapted, *usable(adapted, copy), QUIET)


def test_a_pass_that_was_killed_goes_on_where_it_was(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = package()
    encode, seen = made.model.encode, []

    def count(images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        if len(seen) == 2 and stops:
            raise KeyboardInterrupt
        return encode(images)

    def embed(folder: Path | None) -> tuple[np.ndarray, int]:
        seen.clear()
        return embed_fields(made, *usable(made, plate), QUIET, folder), sum(seen)

    monkeypatch.setattr(partial_features, "_BLOCK", 16)
    monkeypatch.setattr(made.model, "encode", count)
    for folder, again in ((None, 32), (tmp_path / "partial", 16)):
        stops = True
        with pytest.raises(KeyboardInterrupt):
            embed(folder)
        stops = False
        found, fields = embed(folder)
        assert fields == again
        undisturbed, fields = embed(None)
        assert fields == 32
        np.testing.assert_allclose(found, undisturbed, rtol=1e-6)
    with torch.no_grad():
        next(made.model.parameters()).add_(0.1)
    assert embed(tmp_path / "partial")[1] == 32  # of another network


def test_latents_of_few_channels_are_taken_whole(plate: Path) -> None:
    small = package("autoencoder", widths=(4, 4))
    data, rows = usable(small, plate)
    whole = embed_fields(small, data, rows[::-1], QUIET)
    latents = small.model.encode(
        next(iter(data.batches_from_rows(rows[-1:], IntensityScale.from_json(small.scale), 1))).images
    )
    assert whole.shape == (32, latents[0].numel())
    np.testing.assert_allclose(whole[0], latents.detach().flatten(), rtol=1e-4, atol=1e-6)
