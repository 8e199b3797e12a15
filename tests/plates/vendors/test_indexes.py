from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.plates.vendors.indexes import read_index

V5 = "http://www.perkinelmer.com/PEHH/HarmonyV5"
V7 = "43B2A954-E3C3-47E1-B392-6635266B0DD3/HarmonyV7"
BTS = "http://www.yokogawa.co.jp/BTS/BTSSchema/1.0"
RESOLUTION = '<ImageResolutionX Unit="m">2.9E-07</ImageResolutionX>'


def image(url, row=2, col=3, field=1, plane=1, channel=1, more=""):
    return (
        f'<Image Version="1"><id>x</id><URL>{url}</URL><Row>{row}</Row><Col>{col}</Col><FieldID>{field}</FieldID>'
        f"<PlaneID>{plane}</PlaneID><TimepointID>0</TimepointID><ChannelID>{channel}</ChannelID>{more}</Image>"
    )


def harmony(*images, namespace=V5, name="", barcode="BR1", maps=""):
    wells = '<Wells><Well><id>0203</id><Row>2</Row><Col>3</Col><Image id="0203K1F1P1R1" /></Well></Wells>'
    return (
        f'\ufeff<?xml version="1.0" encoding="utf-8"?>\n<EvaluationInputData xmlns="{namespace}" Version="1"><Plates>'
        f"<Plate><PlateID>{barcode}</PlateID><Name>{name}</Name><PlateRows>8</PlateRows>"
        f'<Well id="0203" /></Plate></Plates>{wells}{maps}<Images>{"".join(images)}</Images></EvaluationInputData>'
    )


def channel_names(*names):
    entries = (
        f'<Entry ChannelID="{n}"><ChannelName>{name}</ChannelName>{RESOLUTION}</Entry>'
        for n, name in enumerate(names, 1)
    )
    flat_field = '<Map><Entry ChannelID="1"><FlatfieldProfile>x</FlatfieldProfile></Entry></Map>'
    return f"<Maps>{flat_field}<Map>{''.join(entries)}</Map></Maps>"


def record(name, kind="IMG", row=2, column=3, field=1, z=1, channel=1, more=""):
    return (
        f'<bts:MeasurementRecord bts:Type="{kind}" bts:Column="{column}" bts:Row="{row}" bts:TimePoint="1" '
        f'bts:FieldIndex="{field}" bts:ZIndex="{z}" bts:Ch="{channel}" {more}>{name}</bts:MeasurementRecord>'
    )


def yokogawa(*records):
    return f'<?xml version="1.0"?>\n<bts:MeasurementData xmlns:bts="{BTS}">{"".join(records)}</bts:MeasurementData>'


def write(path, text="", encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def test_a_folder_without_an_index(tmp_path):
    write(tmp_path / "a.tiff")
    assert read_index(tmp_path) is None
    assert read_index(tmp_path / "none") is None


def test_harmony_5_says_with_each_image_what_its_channel_is(tmp_path):
    more = f"<ChannelName>TMRM</ChannelName>{RESOLUTION}"
    text = harmony(image("a.tiff", row=16, col=24, field=12, plane=3, channel=10, more=more), image("b.tiff"))
    source = write(tmp_path / "Images/Index.idx.xml", text)
    write(tmp_path / "Images/a.tiff")
    index = read_index(tmp_path)
    assert (index.preset, index.source, index.why) == ("harmony", source, "Index.idx.xml lists 2 images")
    assert index.channel_names == {"10": "TMRM"}
    assert index.absent == [tmp_path / "Images/b.tiff"]
    first = index.files.iloc[0].to_dict()
    assert first.pop("Metadata_PixelSize_um") == pytest.approx(0.29)
    assert first == {
        "Metadata_Plate": "BR1",
        "Metadata_Well": "P24",
        "Metadata_Site": 12,
        "Metadata_Z": 3,
        "Metadata_Time": 0,
        "Metadata_Row": 16,
        "Metadata_Col": 24,
        "condition": None,
        "split": None,
        "channel": "10",
        "folder": str(tmp_path / "Images"),
        "name": "a.tiff",
        "frame": None,
        "Metadata_Magnification": None,
        "Metadata_Acquisition": None,
    }
    assert index.files["Metadata_PixelSize_um"].isna().tolist() == [False, True]


@pytest.mark.parametrize("root", [".", "Images"])
def test_harmony_7_writes_its_index_one_folder_up(tmp_path, root):
    images = [image("a.tiff"), image("b.tiff", channel=2)]
    text = harmony(*images, namespace=V7, name="my plate", maps=channel_names("DAPI", "TMRM"))
    write(tmp_path / "Index.xml", text)
    assert read_index(tmp_path / root) is None
    write(tmp_path / "Images/a.tiff")
    write(tmp_path / "Images/b.tiff")
    index = read_index(tmp_path / root)
    assert index.channel_names == {"1": "DAPI", "2": "TMRM"}
    assert index.files["folder"].tolist() == [str(tmp_path / "Images")] * 2
    assert index.files["Metadata_Plate"].tolist() == ["my plate"] * 2
    assert index.files["Metadata_PixelSize_um"].tolist() == pytest.approx([0.29, 0.29])


def test_an_index_above_is_not_that_of_any_folder(tmp_path):
    write(tmp_path / "Index.xml", harmony(image("a.tiff")))
    write(tmp_path / "a.tiff")
    write(tmp_path / "DS/a.tiff")
    assert read_index(tmp_path / "DS") is None


def test_several_plates_side_by_side(tmp_path):
    for number in (1, 2):
        folder = tmp_path / f"BR{number}__2024" / "Images"
        write(folder / "Index.idx.xml", harmony(image("a.tiff"), name="screen", barcode=f"BR{number}"))
        write(folder / "a.tiff")
    index = read_index(tmp_path)
    assert index.files["Metadata_Plate"].tolist() == ["BR1", "BR2"]
    assert index.why == "2 indexes (Index.idx.xml) list 2 images"


def test_a_plate_without_a_name_is_called_as_its_folder(tmp_path):
    write(tmp_path / "P7/Images/Index.idx.xml", harmony(image("a.tiff"), barcode=""))
    write(tmp_path / "P7/Images/a.tiff")
    assert read_index(tmp_path / "P7").files["Metadata_Plate"].tolist() == ["P7"]


@pytest.mark.parametrize("barcode", ["", "BC"])
def test_plates_of_one_name_stay_apart(tmp_path, barcode):
    for folder, row in (("first", 2), ("second", 3)):
        text = harmony(image("a.tiff", row=row), name="screen", barcode=barcode)
        write(tmp_path / folder / "Images/Index.idx.xml", text)
        write(tmp_path / folder / "Images/a.tiff")
        assert read_index(tmp_path / folder).files["Metadata_Plate"].tolist() == ["screen"]
    index = read_index(tmp_path)
    assert index.files["Metadata_Plate"].tolist() == ["first", "second"]
    assert index.notes[0].startswith("2 measurements bear the name screen and stay apart as plates first, second")


def test_channels_of_plates_are_matched_by_label(tmp_path):
    for plate, names in (("a", ("DAPI", "TMRM")), ("b", ("TMRM", "DAPI"))):
        write(
            tmp_path / plate / "Index.xml",
            harmony(image("a.tiff"), image("b.tiff", channel=2), maps=channel_names(*names), name=plate),
        )
        write(tmp_path / plate / "a.tiff")
        assert read_index(tmp_path / plate).channel_names["1"] == names[0]
    index = read_index(tmp_path)
    assert index.channel_names == {"1": "DAPI", "2": "TMRM"}
    assert index.files[["Metadata_Plate", "name", "channel"]].to_numpy().tolist() == [
        ["a", "a.tiff", "1"], ["a", "b.tiff", "2"], ["b", "a.tiff", "2"], ["b", "b.tiff", "1"]
    ]  # fmt: skip
    write(tmp_path / "b/Index.xml", harmony(image("a.tiff"), maps=channel_names("GFP"), name="b"))
    with pytest.raises(LeighError, match=r"cannot be matched .*'GFP' here but 'DAPI' before.*; read these plates sep"):
        read_index(tmp_path)


def test_the_magnification_is_read(tmp_path):
    more = '<ObjectiveMagnification Unit="">40</ObjectiveMagnification>'
    write(tmp_path / "Index.idx.xml", harmony(image("a.tiff", more=more), image("b.tiff")))
    write(tmp_path / "a.tiff")
    assert read_index(tmp_path).files["Metadata_Magnification"].fillna(0).tolist() == [40, 0]


def test_what_is_no_image_is_left_out_with_a_reason(tmp_path):
    refused = ["../../x.tiff", "/etc/passwd", "sub/x.tiff", "C:\\x.tiff"]
    images = [image(url) for url in refused]
    images += [image("row.tiff", row=33), image("huge.tiff", field="9" * 5000), image(""), image("a.tiff")]
    write(tmp_path / "Index.idx.xml", harmony(*images))
    write(tmp_path / "a.tiff")
    write(tmp_path / "sub/x.tiff")
    index = read_index(tmp_path)
    assert index.files["name"].tolist() == ["a.tiff"]
    assert index.absent == []
    assert index.why == "Index.idx.xml lists 1 images, without 1 that were not recorded"
    assert {path.name: reason for path, reason in index.reasons.items() if path.name != "x.tiff"} == {
        "passwd": "its name in the index leaves the folder",
        "C:\\x.tiff": "its name in the index leaves the folder",
        "row.tiff": "row 33, column 3 is not a well",
        "huge.tiff": "the index gives no number for its FieldID",
    }
    assert index.reasons[tmp_path / "../../x.tiff"] == "its name in the index leaves the folder"
    assert index.reasons[tmp_path / "sub/x.tiff"] == "its name in the index is not a plain file name"


def test_an_image_that_is_listed_twice_stays_twice(tmp_path):
    write(tmp_path / "Index.idx.xml", harmony(image("a.tiff"), image("a.tiff")))
    write(tmp_path / "a.tiff")
    assert read_index(tmp_path).files["name"].tolist() == ["a.tiff", "a.tiff"]


@pytest.mark.parametrize("resolution", ["1e400", "-1", "many", ""])
def test_a_pixel_size_that_is_none(tmp_path, resolution):
    more = f'<ImageResolutionX Unit="m">{resolution}</ImageResolutionX>'
    write(tmp_path / "Index.idx.xml", harmony(image("a.tiff", more=more)))
    write(tmp_path / "a.tiff")
    assert read_index(tmp_path).files["Metadata_PixelSize_um"].isna().all()


LAUGHS = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read as XML"),
        (harmony(image("a.tiff"))[:-60], "cannot be read as XML"),
        ('<?xml version="1.0" encoding="klingon"?><EvaluationInputData/>', "cannot be read as XML"),
        (f'<!DOCTYPE x [<!ENTITY l0 "ha">{LAUGHS}]><EvaluationInputData>&l9;</EvaluationInputData>', "document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><EvaluationInputData/>', "document type"),
        ("<EvaluationInputData>&undefined;</EvaluationInputData>", "cannot be read as XML"),
    ],
)
def test_a_broken_index_names_the_remedy(tmp_path, text, message):
    write(tmp_path / "a.tiff")
    write(tmp_path / "Index.idx.xml", harmony(image("a.tiff")))
    assert read_index(tmp_path) is not None
    write(tmp_path / "Index.idx.xml", text)
    with pytest.raises(LeighError, match=f"{message}.*; export it again, or rename it to go by the names of the files"):
        read_index(tmp_path)


def test_other_xml_of_this_name_is_no_index(tmp_path):
    write(tmp_path / "Index.xml", "<Catalogue><Images><Image><URL>a.tiff</URL></Image></Images></Catalogue>")
    write(tmp_path / "a.tiff")
    assert read_index(tmp_path) is None


def test_yokogawa_records(tmp_path):
    names = ["P_B03_T0001F001L01A01Z01C01.tif", "P_B03_T0001F001L01A01Z02C02.tif"]
    text = yokogawa(
        record(names[0]),
        record(names[1], z=2, channel=2),
        '<bts:MeasurementRecord bts:Type="ERR" bts:Column="14" bts:Row="3">AF Error at C14</bts:MeasurementRecord>',
    )
    source = write(tmp_path / "MeasurementData.mlf", text)
    for name in names:
        write(tmp_path / name)
    bare = read_index(tmp_path)
    assert (bare.preset, bare.source) == ("cv7000", source)
    assert bare.why == "MeasurementData.mlf lists 2 images, 1 of its records being errors of the microscope"
    assert bare.reasons == {source: "1 of its records are errors of the microscope, as 'AF Error at C14'"}
    assert bare.channel_names == {}
    assert bare.files["Metadata_Plate"].tolist() == [tmp_path.name] * 2
    assert bare.files[["Metadata_Well", "Metadata_Z", "Metadata_Time", "channel"]].to_numpy().tolist() == [
        ["B03", 1, 1, "1"],
        ["B03", 2, 1, "2"],
    ]
    detail = (
        f'<bts:MeasurementDetail bts:MeasurementSettingFileName="S.mes" xmlns:bts="{BTS}">'
        '<bts:MeasurementSamplePlate bts:Name="PL1" />'
        '<bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.65" /></bts:MeasurementDetail>'
    )
    assert "Metadata_Magnification" not in bare.files or bare.files["Metadata_Magnification"].isna().all()
    channels = '<bts:Channel bts:Ch="1" bts:Target="DNA" bts:Objective="20x" bts:Magnification="20" />'
    channels += '<bts:Channel bts:Ch="2" bts:Target="" bts:Magnification="none" />'
    write(tmp_path / "MeasurementDetail.mrf", detail)
    write(tmp_path / "S.mes", f'<bts:MeasurementSetting xmlns:bts="{BTS}">{channels}</bts:MeasurementSetting>')
    full = read_index(tmp_path)
    assert full.files["Metadata_Plate"].tolist() == ["PL1"] * 2
    assert full.files["Metadata_PixelSize_um"].tolist()[0] == 0.65
    assert full.files["Metadata_Magnification"].fillna(0).tolist() == [20, 0]
    assert full.channel_names == {"1": "DNA"}


def test_yokogawa_names_may_lie_in_folders_but_not_outside(tmp_path):
    plate = tmp_path / "plate"
    write(tmp_path / "secret/x.tif")
    write(plate / "Image/a.tif")
    (plate / "out").symlink_to(tmp_path / "secret")
    records = [record("Image\\a.tif"), record("out/x.tif"), record("../secret/x.tif"), record("/x.tif")]
    write(plate / "MeasurementData.mlf", yokogawa(*records))
    index = read_index(plate)
    assert index.files["name"].tolist() == ["Image/a.tif"]
    assert index.absent == []
    assert set(index.reasons.values()) == {"its name in the index leaves the folder"}
    assert len(index.reasons) == 3


def test_projections_are_left_out_beside_their_planes(tmp_path):
    projection = record("mip.tif", more='bts:ZImageProcessing="MIP"')
    write(tmp_path / "mip.tif")
    write(tmp_path / "a.tif")
    write(tmp_path / "MeasurementData.mlf", yokogawa(projection))
    assert read_index(tmp_path).files["name"].tolist() == ["mip.tif"]
    write(tmp_path / "MeasurementData.mlf", yokogawa(projection, record("a.tif")))
    assert read_index(tmp_path).files["name"].tolist() == ["a.tif"]
    assert read_index(tmp_path).why == "MeasurementData.mlf lists 1 images, without 1 projections"


@pytest.mark.parametrize("file", ["MeasurementData.mlf", "MeasurementDetail.mrf", "S.mes"])
def test_a_broken_file_of_a_yokogawa_plate(tmp_path, file):
    write(tmp_path / "a.tif")
    write(tmp_path / "MeasurementData.mlf", yokogawa(record("a.tif")))
    write(tmp_path / file, "<bts:MeasurementData")
    with pytest.raises(LeighError, match=f"{file} cannot be read as XML .*--preset cv7000"):
        read_index(tmp_path)


@pytest.mark.parametrize(
    ("preset", "found"), [("auto", "harmony"), ("harmony", "harmony"), ("cv7000", "cv7000"), ("generic", None)]
)
def test_a_preset_restricts_what_is_looked_for(tmp_path, preset, found):
    write(tmp_path / "a.tif")
    write(tmp_path / "Index.idx.xml", harmony(image("a.tif")))
    write(tmp_path / "MeasurementData.mlf", yokogawa(record("a.tif")))
    index = read_index(tmp_path, preset)
    assert (index and index.preset) == found


def test_the_relative_folder_becomes_absolute(tmp_path, monkeypatch):
    write(tmp_path / "p/Index.idx.xml", harmony(image("a.tiff")))
    write(tmp_path / "p/a.tiff")
    monkeypatch.chdir(tmp_path)
    assert read_index(Path("p")).files["folder"].tolist() == [str(tmp_path / "p")]
