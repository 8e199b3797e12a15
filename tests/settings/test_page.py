import re
from pathlib import Path

import pytest

from leigh_mlops.errors import LeighError
from leigh_mlops.settings import (
    Choice,
    Range,
    SearchObjective,
    SearchPreset,
    SearchSpace,
    TrainingSettings,
    TrialResources,
    load_space,
)
from tests.settings.conftest import PAGE, written


def sections(text: str) -> dict[str, str]:
    return {found[1]: found[0] for found in re.finditer(r"^(\w+):.*(?:\n(?!\w).*)*", text, re.MULTILINE)}


EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES[1:], ids=lambda text: ", ".join(sections(text)))
def test_the_examples_of_the_page_on_search_files_work(example: str, tmp_path: Path) -> None:
    whole = sections(EXAMPLES[0])
    assert sections(example).items() - whole.items()
    load_space(written(tmp_path, "\n".join((whole | sections(example)).values())))


def test_the_page_on_search_files_shows_the_message_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("my_search.yaml")
    path.write_text(EXAMPLES[0])
    load_space(path)
    path.write_text(EXAMPLES[0].replace("high: 1e-2", "high: 100"))
    with pytest.raises(LeighError) as caught:
        load_space(path)
    assert f"```text\n{caught.value}\n```" in PAGE


def test_the_page_on_search_files_names_every_field() -> None:
    for kind in (SearchSpace, SearchObjective, TrialResources, SearchPreset, Choice, Range, TrainingSettings):
        assert [name for name in kind.model_fields if not re.search(rf"\b{name}\b", PAGE)] == []
    assert all(f"| `{name}` |" in PAGE for name in TrainingSettings.model_fields if name != "architecture")
