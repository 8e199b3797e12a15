import numpy as np
import pytest

from leigh_mlops.report.sheets import HeatScale, Panel, SheetRow, contact_sheet, reconstructions
from leigh_mlops.report.style import save_figure


def rows(count):
    picture = np.zeros((224, 224, 3), dtype=np.uint8)
    return [
        SheetRow(f"well B{number:02d}", [Panel(picture, "image: DS 97 %"), Panel(picture, "a$b$")])
        for number in range(count)
    ]


def texts(figure):
    return [text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in figure.texts]


def test_sheet_names_every_field_and_panel():
    figure = contact_sheet(rows(2), "What changes", "DAPI 0 to 12", scale=HeatScale(3.0, "log-odds (nats)"))
    assert {"What changes", "DAPI 0 to 12", "well B00", "well B01", "image: DS 97 %"} <= set(texts(figure))
    assert len(figure.axes) == 5
    assert figure.axes[-1].get_xlabel() == "log-odds (nats)"
    assert figure.axes[-1].get_xlim() == (-3.0, 3.0)


def test_panels_are_drawn_pixel_by_pixel():
    axes = contact_sheet(rows(1), "Sheet").axes[0]
    assert axes.get_window_extent().width == pytest.approx(224)
    assert axes.get_window_extent().height == pytest.approx(224)


def test_text_with_dollars_is_saved_as_it_stands(tmp_path):
    assert save_figure(contact_sheet(rows(1), "a$b$"), tmp_path / "sheet.png").stat().st_size > 1000


def test_sheet_says_what_it_leaves_out():
    assert not any("not shown" in text for text in texts(contact_sheet(rows(2), "Sheet")))
    figure = contact_sheet(rows(14), "Sheet")
    assert "2 more fields are not shown." in texts(figure)
    assert "well B11" in texts(figure)
    assert "well B12" not in texts(figure)


def test_empty_sheet_is_refused():
    with pytest.raises(ValueError, match="nothing to show"):
        contact_sheet([], "Sheet")


def test_reconstructions_state_limits_and_error():
    images = np.zeros((2, 3, 8, 8))
    limits = [(0, 10), (0, 20), (0, 30)]
    figure = reconstructions(images, images + 2, ["DAPI", "TMRM", "DAPI+TMRM"], limits)
    words = " ".join(texts(figure))
    assert "DAPI 0 to 10, TMRM 0 to 20." in words
    assert "error 2.0" in words
    with pytest.raises(ValueError, match="differ"):
        reconstructions(images, images[:1], ["DAPI", "TMRM", "DAPI+TMRM"], limits)
