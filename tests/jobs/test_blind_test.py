import json
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.blind_test import make_blind_test, read_blind_result, store_answers
from tests.jobs.blind_job import blind_table, write_answers, write_blind_job


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return write_blind_job(tmp_path / "out")


@pytest.fixture
def ready(job: Path) -> Path:
    make_blind_test(job, 4)
    return job


def chunks(path: Path) -> list[tuple[bytes, bytes]]:
    """Kinds of a PNG's chunks; of all but the pixels also their content."""
    data, place, found = path.read_bytes(), 8, []
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        found.append((kind, b"" if kind == b"IDAT" else data[place + 8 : place + 8 + length]))
        place += 12 + length
    return found


def test_pictures_differ_in_their_pixels_only(ready: Path) -> None:
    assert len({str(chunks(path)) for path in (ready / "images").glob("*/*.png")}) == 2
    pictures = sorted((ready / "blind" / "test" / "pictures").iterdir())
    assert len(pictures) == 8
    assert len({str(chunks(path)) for path in pictures}) == 1
    assert len({path.stat().st_size for path in pictures}) == 1  # noise of any origin is compressed equally


def test_key_names_the_field_of_each_picture(ready: Path) -> None:
    key = json.loads((ready / "blind" / "key.json").read_text())
    for name, each in key["pictures"].items():
        original = "counterfactual" if each["generated"] else "image"
        with Image.open(ready / "images" / each["field"] / f"{original}.png") as picture:
            expected = np.asarray(picture)
        with Image.open(ready / "blind" / "test" / "pictures" / f"{name}.png") as picture:
            np.testing.assert_array_equal(np.asarray(picture), expected)


def test_page_does_not_know_what_is_real(ready: Path) -> None:
    page = (ready / "blind" / "test" / "index.html").read_text()
    key = json.loads((ready / "blind" / "key.json").read_text())
    assert all(name in page for name in key["pictures"])
    assert not any(each["field"] in page for each in key["pictures"].values())
    content = json.loads(page.split('id="content">')[1].split("</script>")[0])
    shown = {name: {"class": claim} for name, claim in content.pop("pictures")}
    assert content == {"test": key["test"]}
    assert shown == {name: {"class": each["class"]} for name, each in key["pictures"].items()}
    assert {path.name for path in (ready / "blind" / "test").iterdir()} == {"index.html", "pictures"}


def test_another_seed_makes_another_test(job: Path, tmp_path: Path) -> None:
    other = write_blind_job(tmp_path / "other")
    make_blind_test(job, 4)
    make_blind_test(other, 4, seed=1)
    first, second = (json.loads((out / "blind" / "key.json").read_text()) for out in (job, other))
    assert first["test"] != second["test"]
    assert not set(first["pictures"]) & set(second["pictures"])


def test_answers_are_scored_and_kept(ready: Path, tmp_path: Path) -> None:
    assert read_blind_result(ready) is None
    right = store_answers(ready, [write_answers(ready, tmp_path / "a.json")])
    assert (right.scores.people, right.scores.generated.share, right.scores.real.share) == (1, 0, 1)
    assert right.scores.correct.fields == 8
    both = store_answers(ready, [write_answers(ready, tmp_path / "b.json", person="Bob", right=False)])
    assert (both.scores.people, both.scores.correct.share) == (2, 0.5)
    assert {path.name for path in (ready / "blind" / "answers").iterdir()} == {"ada.json", "bob.json"}
    assert read_blind_result(ready) == both


def test_the_same_file_counts_once_and_other_answers_of_a_person_are_refused(ready: Path, tmp_path: Path) -> None:
    file = write_answers(ready, tmp_path / "a.json")
    assert store_answers(ready, [file, file]) == store_answers(ready, [file])
    with pytest.raises(LeighError, match="Other answers of ada"):
        store_answers(ready, [write_answers(ready, tmp_path / "b.json", person="Ada", right=False)])


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"test": "0123"}, r"answers another test \(0123, not "),
        ({"person": "../ada"}, "no name of at most 40 letters"),
        ({"person": None}, "no name of at most 40 letters"),
        ({"answers": []}, "holds no answers to a blind test"),
        ({"answers": {}}, "lacks 8 of 8 answers"),
        ({"answers": {"image": "real"}}, r"names 1 pictures that are not in the test \(such as image\)"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_and_nothing_is_stored(
    ready: Path, tmp_path: Path, changed: dict[str, object], reason: str
) -> None:
    good, bad = write_answers(ready, tmp_path / "a.json"), write_answers(ready, tmp_path / "b.json", **changed)
    with pytest.raises(LeighError, match=reason):
        store_answers(ready, [good, bad])
    assert not (ready / "blind" / "answers").exists()


def test_other_words_than_the_two_are_refused(ready: Path, tmp_path: Path) -> None:
    file = write_answers(ready, tmp_path / "a.json")
    for word in ('"perhaps"', "1", "[]"):
        (tmp_path / "b.json").write_text(file.read_text().replace('"real"', word))
        with pytest.raises(LeighError, match="save the file again"):
            store_answers(ready, [tmp_path / "b.json"])


@pytest.mark.parametrize("content", ["", "[1]", "{}", "null", "[" * 100_000, " " * 2_000_000, "\udcff"])
def test_a_file_of_something_else_is_refused(ready: Path, tmp_path: Path, content: str) -> None:
    (tmp_path / "a.json").write_text(content, errors="surrogateescape")
    with pytest.raises(LeighError, match="holds no answers to a blind test"):
        store_answers(ready, [tmp_path / "a.json"])
    with pytest.raises(LeighError, match="does not exist"):
        store_answers(ready, [tmp_path / "none.json"])


def test_a_test_is_not_replaced(ready: Path) -> None:
    with pytest.raises(LeighError, match="holds a test already"):
        make_blind_test(ready, 4)


def test_answers_need_a_test(job: Path, tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="holds no blind test; make one first"):
        store_answers(job, [tmp_path / "a.json"])


def test_a_folder_without_a_finished_job_is_refused(job: Path, tmp_path: Path) -> None:
    with pytest.raises(LeighError, match="holds no finished job"):
        make_blind_test(tmp_path)
    (job / "job.json").write_text('{"finished": false}')
    with pytest.raises(LeighError, match="holds no finished job"):
        make_blind_test(job, 4)


def test_a_job_without_counterfactuals_is_refused(tmp_path: Path) -> None:
    out = write_blind_job(tmp_path, blind_table(kind="boundary"))
    with pytest.raises(LeighError, match="no pictures of typical or confident counterfactuals"):
        make_blind_test(out, 4)


def test_a_damaged_picture_leaves_no_test(job: Path) -> None:
    for path in (job / "images").glob("*/image.png"):
        path.write_bytes(b"no picture")
    with pytest.raises(LeighError, match=r"image.png cannot be read; restore"):
        make_blind_test(job, 4)
    assert not (job / "blind").exists()


@pytest.mark.parametrize("name", ["key.json", "result.json"])
def test_damaged_records_are_named(ready: Path, tmp_path: Path, name: str) -> None:
    file = write_answers(ready, tmp_path / "a.json")
    store_answers(ready, [file])
    (ready / "blind" / name).write_text("{")
    with pytest.raises(LeighError, match=f"{name} is damaged"):
        read_blind_result(ready) if name == "result.json" else store_answers(ready, [file])
