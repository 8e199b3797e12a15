"""Squares of one width in µm, chosen when a plate is read, are what a model sees ever after."""

import io
import warnings
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from leigh_mlops.api.model import load
from leigh_mlops.api.served_model import ServedModel
from leigh_mlops.errors import LeighError
from leigh_mlops.images import field_files, read_field
from leigh_mlops.jobs.field_reader import FieldReader
from leigh_mlops.jobs.validation import check_oracle
from leigh_mlops.models import ModelPackage, build_model, load_package, save_package
from leigh_mlops.plates import find_images, set_field_width, write_demo_plate, write_table
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.image_sentences import width_sentences
from leigh_mlops.study.baselines import fit_baselines
from leigh_mlops.study.champion import comparison_key
from leigh_mlops.study.evaluate_version import matching_data
from leigh_mlops.study.examples import example_request
from leigh_mlops.study.field_width import match_field_width, other_widths, report_other_widths
from leigh_mlops.study.model_card import read_card
from leigh_mlops.study.model_selection import make_package
from leigh_mlops.study.prepare import DataSource
from leigh_mlops.tracking.pyfunc import package_signature
from leigh_mlops.training import PreparedData
from tests.training.conftest import prepared

QUIET = Console(quiet=True)
SIDE = 48


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("width") / "plate"
    return write_demo_plate(folder, wells_per_class=6, fields_per_well=1, image_size_px=SIDE)


@pytest.fixture(autouse=True)
def one_cache(plate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEIGH_CACHE", str(plate.parent / "cache"))


def pixel_size(plate: Path) -> float:
    return float(find_images(plate).table[Metadata.PIXEL_SIZE_UM].iloc[0])


@cache
def trained(plate: Path, field_um: float | None) -> tuple[PreparedData, ModelPackage]:
    """Data with fields of a width, or whole ones, and a package as if it were trained on them."""
    table, source = find_images(plate).table, plate
    if field_um is not None:
        source = plate.parent / f"{field_um}.parquet"
        write_table(set_field_width(table, field_um), source)
    data = prepared(source)
    torch.manual_seed(0)
    model = build_model(
        "resnext", classes=data.classes, image_size=32, channels=2, layers=[1, 1, 1, 1], groups=1, width_per_group=4
    )
    return data, make_package(model, data.scale("linear"), data, fit_baselines(data), {})


def test_the_width_travels_with_the_package_to_evaluations_and_jobs(plate: Path) -> None:
    size = pixel_size(plate)
    (_, whole), (data, package) = trained(plate, None), trained(plate, 32 * size)
    assert (whole.field_width_um, whole.about["field_um"]) == (None, pytest.approx(SIDE * size))
    assert package.field_width_um == pytest.approx(32 * size)
    assert comparison_key(whole) != comparison_key(package)
    table, edge = find_images(plate).table, (SIDE - 32) // 2
    (files,) = field_files(table.head(1), package.channels)
    assert files is not None
    centre = read_field(files)[:, edge : edge + 32, edge : edge + 32]
    np.testing.assert_array_equal(data.cache.raw([0])[0], centre)
    assert Metadata.FIELD_UM not in table
    np.testing.assert_array_equal(FieldReader(package, table, None, None).read(0).acquired, centre)
    assert (FieldReader(whole, table, None, None).read(0).acquired != centre).any()
    np.testing.assert_array_equal(matching_data(package, DataSource(plate), QUIET).cache.pixels, data.cache.pixels)
    # On a finer plate, more pixels are the same square.
    fine = table.assign(**{Metadata.PIXEL_SIZE_UM: size * 2 / 3})
    acquired = FieldReader(package, fine, None, None).read(0).acquired
    np.testing.assert_allclose(acquired, FieldReader(whole, table, None, None).read(0).acquired)
    with pytest.raises(LeighError, match=r"pixel size of plate .* is not known"):
        FieldReader(package, table.drop(columns=Metadata.PIXEL_SIZE_UM), None, None)
    with pytest.raises(LeighError, match="ingest the images again with --field-um"):
        match_field_width(package, set_field_width(table, 20 * size))
    with pytest.raises(LeighError, match="field width of whole fields where the model has"):
        check_oracle(package, whole, "models:/other/1")


def test_notebooks_and_servers_see_the_same_square(plate: Path, tmp_path: Path) -> None:
    size, table = pixel_size(plate), find_images(plate).table.head(2)
    data, package = trained(plate, 32 * size)
    save_package(package, tmp_path / "package")
    model, served = load(tmp_path / "package"), ServedModel(tmp_path / "package")
    assert load_package(tmp_path / "package").field_width_um == package.field_width_um
    raw = np.stack([read_field(files) for files in field_files(table, package.channels) if files])
    names = [f"probability_{name}" for name in model.classes]
    expected = model.predict(table)[names].to_numpy()
    np.testing.assert_array_equal(model.predict(raw, pixel_size_um=size)[names].to_numpy(), expected)
    answer = served.answer(raw, pixel_size_um=size)
    assert isinstance(answer, pd.DataFrame)
    np.testing.assert_array_equal(answer[names].to_numpy(), expected)
    assert (model.predict(raw, pixel_size_um=size * 0.8)[names].to_numpy() != expected).any()
    for refused, said in (
        (lambda: served.answer(raw), "as pixel_size_um="),
        (lambda: model.predict(raw), "µm of each"),
    ):
        with pytest.raises(LeighError, match=said):
            refused()
    with pytest.raises(LeighError, match="no size of a pixel"):
        model.predict(raw, pixel_size_um=-1)
    with pytest.raises(LeighError, match="pixel_size_um= is for arrays only"):
        model.predict(table, pixel_size_um=size)
    counts, parameters = example_request(package, data)
    assert parameters == {"pixel_size_um": pytest.approx(size)}
    answer = served.answer(counts, **parameters)
    assert isinstance(answer, pd.DataFrame)
    assert answer[names].notna().all(axis=None)
    signature = package_signature(package)
    assert [spec.name for spec in signature.params] == ["pixel_size_um"]
    assert package_signature(trained(plate, None)[1]).params is None
    card = read_card(package, "it")
    assert "µm wide, cut out of each" in card.facts()["fields"]
    assert "pixel_size_um" in card.to_markdown()


def test_whole_fields_of_another_width_are_said(plate: Path, tmp_path: Path) -> None:
    size, table = pixel_size(plate), find_images(plate).table
    _, whole = trained(plate, None)
    known = whole.about["field_um"]
    unknown = table.drop(columns=Metadata.PIXEL_SIZE_UM)
    assert other_widths(whole, table) == other_widths(whole, unknown) == {}
    assert width_sentences(known, {}) == width_sentences(None, {"a": 3.0}) == []
    narrow = table.assign(**{Metadata.PIXEL_SIZE_UM: size / 2})
    found = other_widths(whole, narrow)
    assert list(found.values()) == [pytest.approx(known / 2)]
    (sentence,) = width_sentences(known, found)
    assert "cells look 2 times as large" in sentence
    assert "train on squares of a width that all plates have" in sentence
    console = Console(file=io.StringIO(), width=1000)
    assert report_other_widths(whole, narrow, console) == found
    assert console.file.getvalue().strip() == sentence
    wide = table.assign(**{Metadata.PIXEL_SIZE_UM: 2 * size})
    (sentence,) = width_sentences(known, other_widths(whole, wide))
    assert f"--field-um {known:.4g} cuts fields of that width" in sentence
    assert other_widths(whole, set_field_width(wide, known)) == {}
    assert other_widths(replace(whole, about={}), wide) == {}
    assert other_widths(trained(plate, 32 * size)[1], wide) == {}
    save_package(whole, tmp_path / "package")
    model, raw = load(tmp_path / "package"), np.zeros((1, 2, SIDE, SIDE), np.uint16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(table.head(1))
        model.predict(raw)
        model.predict(raw, pixel_size_um=size)
    for images, given in ((narrow.head(1), None), (raw, size / 2)):
        with pytest.warns(UserWarning, match="cells look 2 times as large"):
            model.predict(images, pixel_size_um=given)


def test_a_width_that_is_none_is_damage(plate: Path, tmp_path: Path) -> None:
    _, package = trained(plate, None)
    for width in (-1.0, "wide", None):
        save_package(replace(package, about=package.about | {"field_um": width}), tmp_path / "package")
        with pytest.raises(LeighError, match="no valid field_um"):
            load_package(tmp_path / "package")


def test_another_width_is_other_data(plate: Path) -> None:
    data, _ = trained(plate, 32 * pixel_size(plate))
    whole, _ = trained(plate, None)
    np.testing.assert_array_equal(whole.cache.digests, data.cache.digests)
    assert whole.fingerprint != data.fingerprint
