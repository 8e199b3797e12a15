"""What a notebook shows of a model."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

from leigh_mlops.api.model import Model, load
from leigh_mlops.study.model_card import read_card


class Tags(HTMLParser):
    """Collects the tags and the text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, _: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_a_card_says_what_the_model_is(model: Model) -> None:
    for text in (repr(model), Tags(model._repr_html_()).text):
        for fact in ("iresnet", "DS, TT", "DAPI, TMRM", "32 x 32 pixels", "65535 (16 bits)", "the training wells"):
            assert fact in text
        assert "scores" not in text
        assert "Warning" not in text


def test_scores_and_warnings_are_part_of_the_card(model: Model) -> None:
    package = replace(model.package, about=model.package.about | {"demo": True, "val": {"val/wells/accuracy": 0.875}})
    card = read_card(package, "here")
    for text in (str(card), Tags(card.to_html()).text):
        assert "0.875" in text
        assert "validation wells" in text
        assert "trained on a demo plate" in text


def test_a_card_says_which_z_prime_it_shows(model: Model) -> None:
    old = {"val": {"val/wells/z_prime": 0.19}}
    text = str(read_card(replace(model.package, about=old), "here"))
    assert "Z' of log-odds 0.190" in text
    assert "of probabilities" not in text
    new = {"val": {"val/wells/z_prime": 0.81, "val/wells/z_prime_log_odds": 0.19}}
    card = read_card(replace(model.package, about=new), "here")
    for text in (str(card), Tags(card.to_html()).text):
        assert "Z' of probabilities" in text
        assert "For a screen, read the Z' of log-odds." in text


def test_scores_that_are_no_numbers_are_not_shown(model: Model) -> None:
    package = replace(model.package, about={"val": {"val/wells/accuracy": "high", "val/wells/auc": 0.5}})
    assert "AUC 0.500" in str(read_card(package, "here"))
    assert "high" not in str(read_card(package, "here"))
    assert "scores" not in str(read_card(replace(package, about={"val": "high"}), "here"))


def test_an_autoencoder_has_no_classes(packages: dict[str, Path]) -> None:
    assert "none: it reconstructs" in repr(load(packages["autoencoder"]))


def test_names_become_text(model: Model) -> None:
    evil = "<script>alert(1)</script>"
    plain = Tags(model._repr_html_()).tags
    card = replace(
        model.card,
        name=evil,
        package=replace(model.package, channels=(evil, "b&b")),
        scores={evil: {"wells/accuracy": 1.0}},
        warnings=[evil],
    )
    found = Tags(card.to_html())
    assert "script" not in found.tags
    assert found.text.count(evil) == 4
    assert "b&b" in found.text
    assert set(found.tags) == {*plain, "strong", "p"}
