import re

import pandas as pd
import pytest

from leigh_mlops.report.page import ReportPicture, write_report

WELLS = pd.DataFrame(
    {
        "Metadata_Plate": ["P1", "P1"],
        "Metadata_Well": ["B03", "B04"],
        "Metadata_Condition": ["DS", None],
        "probability_TT": [0.25, 0.00001],
    }
)
FIELDS = WELLS.assign(Metadata_Site=[1, 2])
SCRIPT = "<script>alert(1)</script>.png"


def page(folder, **given):
    arguments = {"summary": {"title": "Plate P1"}, "wells": WELLS, "fields": FIELDS, "pictures": []} | given
    return write_report(folder, **arguments).read_text(encoding="utf-8")


def test_summary_stands_before_the_wells(tmp_path):
    html = page(tmp_path, summary={"title": "Plate P1", "sentences": ["Position comes first."], "facts": {"wells": 2}})
    assert html.index("Position comes first.") < html.index("One row per well, 2 in all")
    assert "<td>B03</td>" in html
    assert '<td class="number">0.250</td>' in html
    assert '<td class="number">1.0e-05</td>' in html
    assert "<td>-</td>" in html


def test_html_in_any_text_is_shown_not_run(tmp_path):
    failure = {"path": SCRIPT, "reason": "<b>broken</b>"}
    html = page(
        tmp_path,
        summary={
            "title": SCRIPT, "sentences": [SCRIPT], "facts": {SCRIPT: SCRIPT}, "model": {"name": SCRIPT},
            "methods": [SCRIPT], "failures": [failure],
        },
        wells=WELLS.assign(**{"Metadata_Condition": SCRIPT, SCRIPT: SCRIPT}),
        fields=FIELDS.assign(Metadata_Condition=SCRIPT),
        pictures=[ReportPicture(f'../{SCRIPT}" onerror="x', 'a" onerror="y', 0)],
    )  # fmt: skip
    assert "<script" not in html
    assert "<b>" not in html
    assert 'onerror="' not in html
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") >= 9


def test_pictures_are_lazy_described_and_relative(tmp_path):
    pictures = [ReportPicture("../images/a b#1.png", "B03: image", 0), ReportPicture("scores.png", "all wells")]
    html = page(tmp_path, pictures=pictures)
    assert '<img src="../images/a%20b%231.png" alt="B03: image" loading="lazy">' in html
    assert html.index("scores.png") < html.index("a%20b")
    assert "1 of 2 fields are shown." in html


def test_page_asks_nobody_for_anything(tmp_path):
    html = page(tmp_path, pictures=[ReportPicture("javascript:alert(1)", "x"), ReportPicture("http://a/b.png", "y")])
    targets = re.findall(r'(?:src|href)="([^"]*)"', html)
    assert targets
    assert not [target for target in targets if ":" in target or target.startswith("/")]


@pytest.mark.parametrize("path", ["/etc/a.png", "//host/a.png"])
def test_absolute_paths_are_refused(tmp_path, path):
    with pytest.raises(ValueError, match="absolute"):
        page(tmp_path, pictures=[ReportPicture(path, "x")])


def test_picture_of_an_unknown_field_is_refused(tmp_path):
    with pytest.raises(ValueError, match="'Z99'"):
        page(tmp_path, pictures=[ReportPicture("a.png", "x", "Z99")])


@pytest.mark.parametrize("summary", [{}, {"title": "x", "sentence": []}])
def test_summary_keys_are_checked(tmp_path, summary):
    with pytest.raises(ValueError, match="pass title"):
        page(tmp_path, summary=summary)


def test_empty_job_has_a_page(tmp_path):
    html = page(tmp_path, wells=WELLS[:0], fields=FIELDS[:0])
    assert "No well was scored." in html
    assert "Every file was read and explained." in html


def test_undecodable_file_name_does_not_break_the_page(tmp_path):
    failures = [{"path": "a\udcff.png", "reason": "no image"}]
    assert "a?.png" in page(tmp_path, summary={"title": "x", "failures": failures})
