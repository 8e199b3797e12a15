import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.models import build_model


def test_more_halvings_than_the_image_allows_are_refused():
    build_model("autoencoder", classes=[], image_size=32, widths=(2,) * 5)
    with pytest.raises(LeighError, match=r"6 widths halve .* not a multiple of 64; give fewer widths"):
        build_model("autoencoder", classes=[], image_size=32, widths=(2,) * 6)


def test_the_output_is_linear_and_can_be_negative():
    model = build_model("autoencoder", classes=[], image_size=32)
    assert type(model.decoder[-1]).__name__ == "ConvTranspose2d"
