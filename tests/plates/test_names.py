import pytest
from hypothesis import given
from hypothesis import strategies as st

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.names import (
    PRESETS,
    FieldName,
    build_field_name,
    compile_pattern,
    parse_name,
    parse_well,
    well_name,
)

UUID = "B1C2D3E4-0F00-4A11-8B22-333344445555"

# Names as the vendors' programs write them, and what they say:
# plate, row, column, field, plane, channel, condition, time.
KNOWN = {
    "leigh_ds_tt": {
        "DS001003-2-001001combined_224_pixel.png": FieldName(None, 1, 3, 2, 1, None, "DS", 1),
        "TT016024-5-001001combined.BMP": FieldName(None, 16, 24, 5, 1, None, "TT", 1),
    },
    "leigh_ds_wt": {
        "1DSr02c03f04p01-combined-sk1fk1fl1_224_pixel.png": FieldName("1", 2, 3, 4, 1, None, "DS"),
        "12WTr02c03f144p01-combined-sk1fk1fl1.Tif": FieldName("12", 2, 3, 144, 1, None, "WT"),
    },
    "harmony": {
        "r02c03f01p01-ch1sk1fk1fl1.tiff": FieldName(None, 2, 3, 1, 1, "1", None, 1),
        "r02c03f01p01-ch10sk1fk1fl1.tiff": FieldName(None, 2, 3, 1, 1, "10", None, 1),
        "r02c03f144p12-ch1sk12fk1fl1.tiff": FieldName(None, 2, 3, 144, 12, "1", None, 12),
        "r02c03f144p01-ch1t03.tiff": FieldName(None, 2, 3, 144, 1, "1", None, 3),
        "r32c48f01p01rc2-ch1sk1fk1fl1.tiff": FieldName(None, 32, 48, 1, 1, "1", None, 1),
    },
    "cv7000": {
        "AssayPlate_Greiner_#655090_B03_T0001F001L01A01Z01C01.tif": FieldName(
            "AssayPlate_Greiner_#655090", 2, 3, 1, 1, "1", None, 1
        ),
        "p_AF48_T0012F1234L01A02Z123C12.png": FieldName("p", 32, 48, 1234, 123, "12", None, 12),
    },
    "incell": {
        "A - 1(fld 1 wv Blue - FITC).tif": FieldName(None, 1, 1, 1, None, "FITC", None),
        "P - 24(fld 01 wv UV - DAPI z 3).tif": FieldName(None, 16, 24, 1, 3, "DAPI", None),
        "I - 03(fld 12 wv 390 - 511 wix 2 z 04 time 3 - 500ms).tif": FieldName(None, 9, 3, 12, 4, "511", None, 3),
        "B - 02(fld 1 wv TL-Brightfield - Texas Red).ome.tif": FieldName(None, 2, 2, 1, None, "Texas Red", None),
        "B - 02(fld 1).tif": FieldName(None, 2, 2, 1, None, None, None),
    },
    "cellomics": {
        "MFGTMP-PC_160314080001_A01f00d0.C01": FieldName("MFGTMP-PC_160314080001", 1, 1, 0, None, "0", None),
        "MFGTMP-PC_160314080001_P24f120d12.DIB": FieldName("MFGTMP-PC_160314080001", 16, 24, 120, None, "12", None),
        "x_AF48f01d1.tif": FieldName("x", 32, 48, 1, None, "1", None),
    },
    "scanr": {
        "--W00013--P00001--Z00000--T00000--DAPI.tif": FieldName(None, 2, 1, 1, 0, "DAPI", None, 0),
        "run 3--W00096--P00012--Z00002--T00001--nucleus-dapi.ome.tif": FieldName(
            None, 8, 12, 12, 2, "nucleus-dapi", None, 1
        ),
        "--W00097--P001--Z000--T000--GFP.tif": FieldName(None, 5, 1, 1, 0, "GFP", None, 0),
        "B03--W00001--P00001--Z00000--T00000--DAPI.tif": FieldName(None, 2, 3, 1, 0, "DAPI", None, 0),
    },
    "incucyte": {
        "exp 1_A1_1_00d02h30m.tif": FieldName(None, 1, 1, 1, None, None, None, 150),
        "VID12_x_H12_16_11d23h45m.tif": FieldName(None, 8, 12, 16, None, None, None, 17265),
    },
    "imagexpress": {
        f"plate7_B03_s1_w1{UUID}.tif": FieldName("plate7", 2, 3, 1, None, "1", None),
        f"plate7_B03_s12_w12{UUID}.TIF": FieldName("plate7", 2, 3, 12, None, "12", None),
        f"b03_s1_w1{UUID.lower()}.tif": FieldName(None, 2, 3, 1, None, "1", None),
        f"x_AF48_w2{UUID}.tif": FieldName("x", 32, 48, 1, None, "2", None),
        f"x_A01_s1{UUID}.tif": FieldName("x", 1, 1, 1, None, None, None),
        f"x_A01{UUID}.tif": FieldName("x", 1, 1, 1, None, None, None),
        f"set_c07_s4_w2_{UUID.lower()}.tif": FieldName("set", 3, 7, 4, None, "2", None),
        "run2_c7_s4_w2.tif": FieldName("run2", 3, 7, 4, None, "2", None),
        "P12_B03_s2_w1.tif": FieldName("P12", 2, 3, 2, None, "1", None),
    },
    "generic": {
        "B03.png": FieldName(None, 2, 3, 1, None, None, None),
        "AF48_s2.bmp": FieldName(None, 32, 48, 2, None, None, None),
        "B3_F2_C1.ome.tif": FieldName(None, 2, 3, 2, None, "1", None),
        "B03_C1.tif": FieldName(None, 2, 3, 1, None, "1", None),
        "B03_C01.tif": FieldName(None, 2, 3, 1, None, "1", None),
        "2024-01-15_run_P24_site3_TMRM.tiff": FieldName("2024-01-15_run", 16, 24, 3, None, "TMRM", None),
        "B03_s1_z2_t3_ch4.tif": FieldName(None, 2, 3, 1, 2, "4", None, 3),
        "B03_s1_w4_z2_t3.tif": FieldName(None, 2, 3, 1, 2, "4", None, 3),
        "B03_Z01.tif": FieldName(None, 2, 3, 1, 1, None, None),
        "B03_Cy5.png": FieldName(None, 2, 3, 1, None, "Cy5", None),
        "P1_B03_s2_w1.tif": FieldName("P1", 2, 3, 2, None, "1", None),
        "run_P1_B03.tif": FieldName("run_P1", 2, 3, 1, None, None, None),
        "P1_C01_s1.tif": FieldName("P1", 3, 1, 1, None, None, None),
    },
    "gen5": {
        "C7_02_1_3_DAPI_001.tif": FieldName(None, 3, 7, 3, None, "DAPI", None, 1),
        "AF48_-1_2_1Z4_Stitched[GFP 469,525]_012.tif": FieldName(None, 32, 48, 1, 4, "Stitched[GFP 469,525]", None, 12),
    },
    "nikon_jobs": {
        "WellC07_ChannelCy5_Seq0031.tif": FieldName(None, 3, 7, 31, None, "Cy5", None),
        "run_WellC07_PointC07_0002_ChannelCy5_Seq0031.tif": FieldName("run", 3, 7, 2, None, "Cy5", None),
    },
    "micromanager": {
        "MMStack_C7-Site_4.ome.tif": FieldName(None, 3, 7, 4, None, None, None),
        "run_2_MMStack_C7-Site_4_1.ome.tif": FieldName("run_2", 3, 7, 4, None, None, None),
        "C7-Site_4/img_channel002_position011_time000000003_z005.tif": FieldName(None, 3, 7, 4, 5, "2", None, 3),
        "C7-Site_4/img_000000003_GFP_005.tif": FieldName(None, 3, 7, 4, 5, "GFP", None, 3),
    },
    "squid": {
        "3/C7_12_0_Fluorescence_638_nm_Ex.bmp": FieldName(None, 3, 7, 12, 0, "Fluorescence_638_nm_Ex", None, 3),
        "run/C7_2_5_0_BF_LED_matrix_full.tiff": FieldName(None, 3, 7, 25, 0, "BF_LED_matrix_full", None),
    },
    "columbus": {"003007-12-002004001.tif": FieldName(None, 3, 7, 12, 2, "1", None, 4)},
    "leica": {
        "image--L0000--S00--U06--V02--J08--E00--O00--X01--Y02--T0003--Z04--C01.ome.tif": FieldName(
            None, 3, 7, 201, 4, "1", None, 3
        ),
    },
    "zeiss": {
        "Run-3_C7-0002_c1_ORG.tif": FieldName("Run-3", 3, 7, 2, None, "1", None),
        "Run_C07_s4t2z3c0x0-2048y0-2048.tif": FieldName("Run", 3, 7, 4, 3, "0", None, 2),
    },
    "bd_pathway": {
        "Well C007/Hoechst - n000004.tif": FieldName(None, 3, 7, 4, None, "Hoechst", None),
        "Well C007/Hoechst - Confocal - t000002n000004.tif": FieldName(None, 3, 7, 4, None, "Hoechst", None, 2),
    },
    "keyence": {
        "run_C7_00004_Z002_CH3.tif": FieldName("run", 3, 7, 4, 2, "3", None),
        "C7_XY02_CH1.tif": FieldName(None, 3, 7, 2, None, "1", None),
        "run_W0031_P00002_CH1.tif": FieldName("run", 3, 7, 2, None, "1", None),
    },
    "bbbc013": {"Channel2-31-C-07.BMP": FieldName(None, 3, 7, 1, None, "2", None)},
    "lowercase": {
        "plate_c7.tif": FieldName("plate", 3, 7, 1, None, None, None),
        "run2_c7_f3_ch1.png": FieldName("run2", 3, 7, 3, None, "1", None),
    },
}
UNKNOWN = {
    "leigh_ds_tt": ["DS001049-2-001001combined.png", "DS000001-2-001001combined.png", "DS001003-2-001001.png"],
    "leigh_ds_wt": ["DSr02c03f04p01-combined-sk1fk1fl1.png", "1DSr33c03f04p01-combined-sk1fk1fl1.png"],
    "harmony": ["r00c03f01p01-ch1sk1fk1fl1.tiff", "r33c03f01p01-ch1sk1fk1fl1.tiff", "r02c03f01p01-ch1.tiff"],
    "cv7000": ["DC_sCMOS #1_CAM1.tif", "SC_BP445-45_40x_M10_CH01.tif", "p_B49_T0001F001L01A01Z01C01.tif"],
    "incell": ["A - 49(fld 1 wv Blue - FITC).tif", "AG - 1(fld 1 wv Blue - FITC).tif", "A - 1 (fld 1).tif"],
    "cellomics": ["x_A01f00.tif", "x_A00f00d0.tif", "A01f00d0.tif"],
    "scanr": ["--W00000--P00001--Z00000--T00000--DAPI.tif", "--W01537--P00001--Z00000--T00000--DAPI.tif"],
    "incucyte": ["exp_A1_1_00d02h.tif", "exp_A49_1_00d02h30m.tif", "A1_1_00d02h30m.tif"],
    "imagexpress": [
        f"plate7_B03_s1_w1_thumb{UUID}.tif",
        f"plate7_B03_s1_thumb{UUID}.tif",
        "B03.tif",
        "B03_C1.tif",
        "B03_C01_s1.tif",
        "B03_s1_w1.xml",
    ],
    "generic": [
        "thumbnail.png",
        "B49.png",
        "AG01.png",
        "B03_s1.txt",
        "B03_C1_2.tif",
        "B03_C01_s1.tif",
        "B03_overview.tif",
        "P12_B03_s1.tif",  # either may be the well; only its neighbours tell
        "B03_s99999999999999999999.tif",
        "B\u0660\u0663.tif",  # digits, but of another script
    ],
    "gen5": ["C7_02_1_3_DAPI.tif", "C99_02_1_3_DAPI_001.tif"],
    "nikon_jobs": ["WellC07_Seq0031.tif", "C07_ChannelCy5_Seq0031.tif"],
    "micromanager": ["MMStack_Pos0.ome.tif", "Pos4/img_000000003_GFP_005.tif", "img_000000003_GFP_005.tif"],
    "squid": ["0/manual0_2_0_Fluorescence_638_nm_Ex.bmp", "0/C7_2_0_coordinates.tif"],
    "columbus": ["033007-12-002004001.tif", "003007-12-002004.tif"],
    "leica": ["image--L0000--S00--J08--X01--Y02--T0003--Z04--C01.ome.tif"],
    "zeiss": ["Run_s4t2z3c0x0-2048y0-2048.tif", "Run_C07_c1.tif"],
    "bd_pathway": ["Hoechst - n000004.tif", "Well 7/Hoechst - n000004.tif"],
    "keyence": ["run_XY02_00004_CH3.tif", "run_W0000_P00002_CH1.tif"],
    "bbbc013": ["Channel2-31-07.BMP"],
    "lowercase": ["plate_q7.tif", "plate_C7.tif", "c7_2.txt"],
}  # fmt: skip


def test_every_preset_has_names_that_it_knows_and_that_it_does_not():
    assert set(KNOWN) == set(UNKNOWN) == set(PRESETS)


@pytest.mark.parametrize(("preset", "name"), [(preset, name) for preset, names in KNOWN.items() for name in names])
def test_names_that_occur(preset, name):
    assert parse_name(name, preset) == KNOWN[preset][name]
    assert parse_name(name) == KNOWN[preset][name]  # no other preset takes it first


@pytest.mark.parametrize(("preset", "name"), [(preset, name) for preset, names in UNKNOWN.items() for name in names])
def test_names_that_say_nothing(preset, name):
    assert parse_name(name, preset) is None


@pytest.mark.parametrize("name", ["", "B0", "3B", "B49", "AG1", "B003", "B03x"])
def test_what_is_no_well_is_refused(name):
    with pytest.raises(LeighError, match="is not a well; write a letter and a number"):
        parse_well(name)


@pytest.mark.parametrize("place", [(0, 1), (33, 1), (1, 0), (1, 49)])
def test_places_off_the_plate_are_refused(place):
    with pytest.raises(LeighError, match="is not a well; rows end at 32, columns at 48"):
        well_name(*place)


def test_an_unknown_preset_is_answered_with_the_known_ones():
    with pytest.raises(LeighError, match=r"'zen' is not a preset.*harmony.*generic"):
        parse_name("B03.png", "zen")


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(?P<well>", "is not a regular expression"),
        (r"(?P<site>\d+)\.tif", "has no group for the well"),
        (r"(?P<row>\d+)\.tif", "has no group for the well"),
        (r"(?P<well>\w+)(?P<dose>\d)", "has a group 'dose'; the groups are plate, well"),
    ],
)
def test_a_pattern_that_cannot_name_wells(pattern, said):
    with pytest.raises(LeighError, match=said):
        compile_pattern(pattern)


def test_rows_of_a_pattern_are_numbers_or_letters():
    assert (
        build_field_name({"row": "b", "col": "3"})
        == build_field_name({"row": "2", "col": "3"})
        == build_field_name({"well": "b03"})
    )
    assert build_field_name({"row": "?", "col": "3"}) is None
    with pytest.raises(ValueError, match="too large"):
        build_field_name({"well": "B03", "site": "1" * 30})


def test_all_wells_round_trip():
    wells = [(row, col) for row in range(1, 33) for col in range(1, 49)]
    assert [parse_well(well_name(*place)) for place in wells] == wells
    assert len({well_name(*place) for place in wells}) == 1536


# Each preset with a way to write its names; channels that it has, planes from which number.
WRITE = {
    "leigh_ds_tt": "DS{row:03d}{col:03d}-{site}-{z:03d}001combined_224_pixel.png",
    "leigh_ds_wt": "1DSr{row:02d}c{col:02d}f{site:02d}p{z:02d}-combined-sk1fk1fl1_224_pixel.png",
    "harmony": "r{row:02d}c{col:02d}f{site:02d}p{z:02d}-ch{channel}sk1fk1fl1.tiff",
    "cv7000": "Plate_1_{well}_T0001F{site:03d}L01A01Z{z:02d}C{channel:02d}.tif",
    "incell": "{letters} - {col:02d}(fld {site} wv UV - {channel} z {z}).tif",
    "cellomics": "Plate_1_{well}f{site:02d}d{channel}.C01",
    "scanr": "{well}--W00001--P{site:05d}--Z{z:05d}--T00000--{channel}.tif",
    "incucyte": "exp_{well}_{site}_00d01h00m.tif",
    "imagexpress": f"Plate_1_{{well}}_s{{site}}_w{{channel}}{UUID}.tif",
    "generic": "plate7_{well}_s{site}_z{z}_w{channel}.tif",
    "gen5": "{well}_02_1_{site}Z{z}_{channel}_001.tif",
    "nikon_jobs": "Well{well}_Channel{channel}_Seq{site:04d}_Z{z}.tif",
    "micromanager": "{well}-Site_{site}/img_channel{channel:03d}_position000_time000000000_z{z:03d}.tif",
    "squid": "0/{well}_{site}_{z}_LED{channel}.tif",
    "columbus": "{row:03d}{col:03d}-{site}-{z:03d}001{channel:03d}.tif",
    "leica": "image--U{col_from_0:02d}--V{row_from_0:02d}--X{site:02d}--Y00--Z{z:02d}--C{channel:02d}.ome.tif",
    "zeiss": "run_{well}-{site}_z{z}c{channel}_ORG.tif",
    "bd_pathway": "Well {letters}{col:03d}/{channel} - n{site:06d}.tif",
    "keyence": "run_{well}_{site:05d}_Z{z:03d}_CH{channel}.tif",
    "bbbc013": "Channel{channel}-01-{letters}-{col:02d}.BMP",
    "lowercase": "plate_{lower}_s{site}_z{z}_w{channel}.tif",
}
ROWS_AND_COLUMNS = {"lowercase": (16, 24)}


@pytest.mark.parametrize("preset", PRESETS)
@given(row=st.integers(1, 32), col=st.integers(1, 48), site=st.integers(1, 999), z=st.integers(1, 99), data=st.data())
def test_every_preset_reads_what_it_writes(preset, row, col, site, z, data):
    rows, cols = ROWS_AND_COLUMNS.get(preset, (32, 48))
    row, col = 1 + (row - 1) % rows, 1 + (col - 1) % cols
    channel = data.draw(st.integers(1, 9 if preset == "bbbc013" else 99))
    well, template = well_name(row, col), WRITE[preset]
    letters = well.rstrip("0123456789")
    about = {"row": row, "col": col, "site": site, "z": z, "channel": channel, "well": well, "letters": letters}
    about |= {"row_from_0": row - 1, "col_from_0": col - 1, "lower": well.lower()}
    field = parse_name(template.format(**about), preset)
    assert field is not None
    assert (field.row, field.col, field.site) == (row, col, site if "{site" in template else 1)
    assert field.z == (z if "{z" in template else None)
    prefix = "LED" if preset == "squid" else ""
    assert field.channel == (f"{prefix}{channel}" if "{channel" in template else None)


@given(name=st.text(max_size=60))
def test_random_text_says_nothing_and_breaks_nothing(name):
    for preset in PRESETS:
        assert parse_name(name, preset) is None
    assert parse_name(name) is None


@given(stem=st.from_regex(r"[A-Z0-9_ .\-|()]{0,40}", fullmatch=True), suffix=st.sampled_from([".tif", ".png", ".C01"]))
def test_text_that_looks_like_a_name_breaks_nothing(stem, suffix):
    field = parse_name(stem + suffix)
    assert field is None or parse_well(well_name(field.row, field.col)) == (field.row, field.col)
