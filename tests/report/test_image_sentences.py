from leigh_mlops.report.image_sentences import depth_lines


def test_plates_of_one_depth_share_a_line():
    assert depth_lines({"a": "12 bits", "b": "12 bits", "c": "16 bits"}) == [
        "Bit depth of plates a, b: 12 bits.",
        "Bit depth of plate c: 16 bits.",
    ]
    assert depth_lines({str(n): "8 bits" for n in range(9)}) == ["Bit depth of 9 plates: 8 bits."]
