"""Templates, JSON and script hashes of HTML pages."""

import math

import pytest
from jinja2 import UndefinedError

from leigh_mlops.report.html_page import create_environment, script_hash


def test_text_and_json_cannot_end_their_element() -> None:
    environment = create_environment()
    assert environment.from_string("{{ text | safe }}").render(text="</script>") == "</script>"
    assert environment.from_string("{{ text }}").render(text="</script>") == "&lt;/script&gt;"
    assert environment.from_string("{{ [text] | json }}").render(text="</script>") == r'["\u003c/script\u003e"]'


def test_json_has_no_nan() -> None:
    template = create_environment().from_string("{{ number | json }}")
    assert template.render(number=0.5) == "0.5"
    with pytest.raises(ValueError, match="not JSON compliant"):
        template.render(number=math.nan)


def test_a_missing_variable_is_an_error() -> None:
    template = create_environment().from_string("{{ title }}")
    assert template.render(title="a") == "a"
    with pytest.raises(UndefinedError, match="title"):
        template.render()


def test_further_filters_stand_beside_json() -> None:
    environment = create_environment(twice=lambda text: 2 * text)
    assert "twice" not in create_environment().filters
    assert environment.from_string("{{ 'a' | twice }}{{ 1 | json }}").render() == "aa1"


def test_the_hash_is_that_of_the_content_security_policy() -> None:
    # The example of https://www.w3.org/TR/CSP3/ for a script of one alert.
    assert script_hash("alert('Hello, world.');") == "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng="
