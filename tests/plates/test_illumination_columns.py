import pandas as pd
import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.illumination_columns import add_illumination

TABLE = pd.DataFrame({"Metadata_Plate": ["p", "q", "p"], "Metadata_Well": ["B03", "B03", "B04"]})


def save(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


def names_of(table, channel):
    return [path.rpartition("/")[2] for path in table[f"Illumination_{channel}"]]


def test_the_plate_s_own_image_comes_first(tmp_path):
    save(tmp_path, "IllumDAPI.npy", "p_DAPI.npy", "IllumTMRM.npy", "notes.txt")
    table = add_illumination(TABLE, ("DAPI", "TMRM"), tmp_path)
    assert "Illumination_DAPI" not in TABLE
    assert names_of(table, "DAPI") == ["IllumDAPI.npy"] * 3
    save(tmp_path, "p_IllumDAPI.npy")
    table = add_illumination(TABLE, ("DAPI", "TMRM"), tmp_path)
    assert names_of(table, "DAPI") == ["p_IllumDAPI.npy", "IllumDAPI.npy", "p_IllumDAPI.npy"]
    assert table["Illumination_TMRM"].tolist() == [str(tmp_path / "IllumTMRM.npy")] * 3


def test_names_without_illum_come_last(tmp_path):
    save(tmp_path, "p_DAPI.npy", "q_dapi.npy")
    assert names_of(add_illumination(TABLE, ("DAPI",), tmp_path), "DAPI") == ["p_DAPI.npy", "q_dapi.npy", "p_DAPI.npy"]


def test_channels_are_compared_without_case_and_punctuation(tmp_path):
    save(tmp_path, "IllumAlexa488.npy", "IllumAlexa568.npy")
    table = add_illumination(TABLE, ("Alexa 488", "ALEXA-568"), tmp_path)
    assert names_of(table, "Alexa 488") == ["IllumAlexa488.npy"] * 3
    assert names_of(table, "ALEXA-568") == ["IllumAlexa568.npy"] * 3
    with pytest.raises(LeighError, match="no illumination image of channel Alexa 48"):
        add_illumination(TABLE, ("Alexa 48",), tmp_path)


def test_each_plate_may_have_a_folder(tmp_path):
    save(tmp_path, "p/p_IllumDAPI.npy", "IllumDAPI.npy")
    table = add_illumination(TABLE, ("DAPI",), tmp_path)
    assert names_of(table, "DAPI") == ["p_IllumDAPI.npy", "IllumDAPI.npy", "p_IllumDAPI.npy"]


def test_a_plate_s_name_leads_nowhere_else(tmp_path):
    save(tmp_path, "outside/IllumDAPI.npy", "illum/readme.txt")
    with pytest.raises(LeighError, match="no illumination image of channel DAPI for plate"):
        add_illumination(TABLE.assign(Metadata_Plate="../outside"), ("DAPI",), tmp_path / "illum")


@pytest.mark.parametrize("where", ["flat.npy", "."])
def test_one_image_for_a_single_channel(tmp_path, where):
    save(tmp_path, "flat.npy")
    assert names_of(add_illumination(TABLE, ("DAPI",), tmp_path / where), "DAPI") == ["flat.npy"] * 3
    with pytest.raises(LeighError, match=r"no illumination image of channel DAPI for plate p; add p_IllumDAPI\.npy"):
        add_illumination(TABLE, ("DAPI", "TMRM"), tmp_path / where)


def test_two_images_for_one_channel_are_refused(tmp_path):
    save(tmp_path, "IllumER.npy", "Illum_er.npy")
    with pytest.raises(LeighError, match="both belong to channel ER; remove one"):
        add_illumination(TABLE, ("ER",), tmp_path)


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(LeighError, match=r"none do not exist; name a folder of \.npy files"):
        add_illumination(TABLE, ("DAPI",), tmp_path / "none")
