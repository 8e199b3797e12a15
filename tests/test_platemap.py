import json

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.platemap import platemap
from tests.test_ingest import call


def test_a_plate_map_is_shown_before_anything_runs(tmp_path):
    path, summary = tmp_path / "CHECK.csv", tmp_path / "s.json"
    path.write_text("Well,Class,Drug,Dose (uM),remrk\nC2,KO,,,x\nC3,WT,DMSO,0,\nC4,KO,abc,#N/A,\nC5,KO,abc,0.3,\n")
    output = call(platemap, path, "--json", summary)
    assert "Well: well; Class: class; Drug: compound; Dose (uM): dose in uM; remrk: not understood" in output
    assert "C04, column Dose (uM): '#N/A' is lost; expected a number, not the error value of a formula." in output
    assert "4 wells: 1 of class KO, 1 of class WT, 2 with a compound, in no class." in output
    assert (tmp_path / "CHECK.platemap.png").read_bytes().startswith(b"\x89PNG")
    values = json.loads(summary.read_text())
    assert (values["treated"], values["cells"][0]["well"]) == (2, "C04")
    path.write_text("Well,Drug\nC2,abc\n")
    assert "No well without a compound has a class" in call(platemap, path)


def test_a_map_that_cannot_be_used_is_one_sentence(tmp_path):
    (tmp_path / "m.csv").write_text("Well,Class\nC2,KO\nC2,WT\n")
    with pytest.raises(LeighError, match="lists well C02 twice"):
        call(platemap, tmp_path / "m.csv")
