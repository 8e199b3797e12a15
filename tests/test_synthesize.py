import inspect

import pytest
import typer
from typer.testing import CliRunner

from leigh_mlops.command_line import command_line
from leigh_mlops.errors import LeighError
from leigh_mlops.plates.demo import DemoDesign, find_twins, flawed_fields
from leigh_mlops.plates.demo.design import CONFOUNDERS
from leigh_mlops.plates.demo.phenotype import COMPOUNDS, EFFECTS, PHENOTYPES
from leigh_mlops.synthesize import _CLASS_TEXTS, _COMPOUND_TEXTS, _CONFOUNDER_TEXTS, _EFFECT_TEXTS, synthesize

SMALL = ["--wells-per-class", "2", "--fields", "1", "--size", "32"]


def call(*arguments):
    app = typer.Typer()
    app.command()(synthesize)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_a_plain_plate_says_little(tmp_path):
    output = call(tmp_path / "demo", *SMALL)
    assert "Wrote 4 wells, 4 fields of DS, TT to" in output
    assert "differ in TMRM intensity and mitochondrial shape" in output
    for word in ("Confounder", "Flawed", "Twins", "plates"):
        assert word not in output
    assert output.splitlines()[-1] == f"Next: {command_line('ingest', str(tmp_path / 'demo'))}"


def test_what_was_asked_for_is_said_and_done(tmp_path):
    demo = tmp_path / "my demo"
    output = call(
        demo, *SMALL, "--plates", 2, "--effect", "morphology", "--confounder", "background", "--twins",
        "--saturated", 0.25, "--out-of-focus", 0.25, "--illumination-images",
    )  # fmt: skip
    assert "Wrote 8 wells on 2 plates, 8 fields of DS, TT to" in output
    assert "differ in mitochondrial shape, not in total TMRM intensity" in output
    assert "Confounder: background intensity increases" in output
    assert "Flawed fields: 2 saturated, 2 out of focus" in output
    assert str(demo / ".twins") in output
    assert f"leigh_mlops.ingest '{demo}'" in output
    assert set(find_twins(demo)) == {"DS", "TT"}
    assert sorted(flawed_fields(demo)["flaw"]) == ["out_of_focus", "out_of_focus", "saturated", "saturated"]
    assert (demo / "Illumination" / "IllumTMRM.npy").is_file()


def test_a_full_plate_needs_no_wells_per_class(tmp_path):
    output = call(tmp_path / "demo", "--wells", 96, "--fields", 1, "--size", 16)
    assert "Wrote 96 wells, 96 fields" in output
    with pytest.raises(LeighError, match="--wells 96 and --wells-per-class 2 exclude each other; pass one"):
        call(tmp_path / "demo", *SMALL, "--wells", 96)


def test_as_many_classes_as_asked_are_described(tmp_path):
    assert "Class" not in call(tmp_path / "demo", *SMALL, "--classes", 3)
    output = call(tmp_path / "demo", *SMALL, "--classes", 4)
    assert "fields of WT, DS, TT, perinuclear to" in output
    assert "Class perinuclear: mitochondria retracted beside the nucleus" in output
    assert "Chance places the classes" in output
    with pytest.raises(LeighError, match="12 classes can't be drawn"):
        call(tmp_path / "demo", *SMALL, "--classes", 12)


def test_options_are_those_of_the_design():
    """The command repeats them, so that its help needs no plate."""
    assert list(_CLASS_TEXTS) == list(PHENOTYPES)
    assert list(_EFFECT_TEXTS) == list(EFFECTS)
    assert ["none", *_CONFOUNDER_TEXTS] == list(CONFOUNDERS)
    assert set(_COMPOUND_TEXTS) == set(COMPOUNDS)
    design = {name: parameter.default for name, parameter in inspect.signature(DemoDesign).parameters.items()}
    options = {name: parameter.default for name, parameter in inspect.signature(synthesize).parameters.items()}
    shared = options.keys() & design.keys() - {"classes", "compounds", "wells_per_class"}
    assert "illumination" in shared
    assert {name: options[name] for name in shared} == {name: design[name] for name in shared}
