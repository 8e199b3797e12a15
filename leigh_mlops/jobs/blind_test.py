"""Blind test of a job's counterfactuals: a page for people, their answers, and the result.

The folder ``OUT/blind`` holds ``test/`` (the page and its pictures, for people), ``key.json`` (which picture is real),
``answers/`` (one file per person) and ``result.json``.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.jobs.blind_fields import BlindField, choose_blind_fields, find_blind_kind
from leigh_mlops.jobs.job_file import read_job
from leigh_mlops.report.image_files import Rgb, atomic_write, require_one_size, write_png
from leigh_mlops.report.job.blind_page import BlindPicture, write_blind_page
from leigh_mlops.scores.blind_scores import BlindScores, FieldShare, blind_scores

__all__ = ["BlindResult", "make_blind_test", "read_blind_result", "store_answers"]

_FOLDER = "blind"
_PERSON = re.compile(r"[A-Za-z0-9_-]{1,40}")
_ANSWERS = ("real", "generated")
_MAX_NAMED = 3
_MAX_BYTES = 1_000_000
_NAME_BYTES = 8

Answers = Mapping[str, str]
"""Answer of one person to each picture: real or generated."""


@dataclass(frozen=True)
class BlindResult:
    """Result of a blind test.

    Attributes:
        test: Identifier of the test.
        kind: Kind of counterfactual.
        seen: Number of generated fields whose originals the model was trained or chosen on.
        scores: Scores of all people.
    """

    test: str
    kind: str
    seen: int
    scores: BlindScores


def make_blind_test(out: Path, number: int = 20, seed: int = 0) -> Path:
    """Make the page of a blind test, its pictures and its key.

    Pictures have random names and are encoded anew, so that real and generated ones differ in their pixels only.

    Args:
        out: Folder of a finished job of `explain`.
        number: Number of generated fields; there are as many real ones.
        seed: Random seed of the choice, the order and the names.

    Returns:
        Path of the page.

    Raises:
        LeighError: The folder holds no finished job with counterfactuals, too few fields, or a test already.
    """
    fields, kind = _read_fields(out)
    if (out / _FOLDER).exists():
        raise LeighError(
            f"{out / _FOLDER} holds a test already; give the answers to it by --answers, or remove that folder to "
            "make another test."
        )
    chosen = choose_blind_fields(fields, kind, number, seed)
    pictures = [_read_picture(out / each.path) for each in chosen]
    require_one_size(pictures)
    rng = np.random.default_rng([seed, 1])  # apart from the numbers of the choice
    names = [rng.bytes(_NAME_BYTES).hex() for _ in chosen]
    folder = out / _FOLDER / "test"
    for name, picture in zip(names, pictures, strict=True):
        write_png(folder / "pictures" / f"{name}.png", picture)
    test = _identify(names, pictures)
    _write_key(out, {"test": test, "kind": kind, "seed": seed, "pictures": _describe_pictures(names, chosen)})
    shown = [BlindPicture(name, each.claim) for name, each in zip(names, chosen, strict=True)]
    return write_blind_page(folder / "index.html", test, shown, pictures[0].shape[:2])


def store_answers(out: Path, files: Sequence[Path]) -> BlindResult:
    """Check and store files of answers, and score them together with those that were stored before.

    Args:
        out: Folder of the job.
        files: Files as the page saves them, one per person, at least one.

    Raises:
        LeighError: There is no test, or a file does not answer it; nothing is stored then.
    """
    key = _read_key(out)
    stored = dict(_read_answers(path, key) for path in sorted(_answers_folder(out).glob("[!.]*.json")))
    for file in files:
        person, answers = _read_answers(file, key)
        if stored.setdefault(person, answers) != answers:
            raise LeighError(
                f"Other answers of {person} than those in {file} are known already; remove one of both (stored ones "
                f"are in {_answers_folder(out)})."
            )
    for person, answers in stored.items():
        record = {"test": key["test"], "person": person, "answers": answers}
        _write_json(_answers_folder(out) / f"{person}.json", record)
    result = _score_answers(key, list(stored.values()))
    _write_json(out / _FOLDER / "result.json", _to_json(result))
    return result


def read_blind_result(out: Path) -> BlindResult | None:
    """Read the result of a job's blind test; None if nobody has taken it.

    Raises:
        LeighError: The file is damaged.
    """
    file = out / _FOLDER / "result.json"
    if not file.exists():
        return None
    try:
        stored = json.loads(file.read_text())
        shares = {name: FieldShare(**stored[name]) for name in ("generated", "real", "correct")}
        return BlindResult(stored["test"], stored["kind"], stored["seen"], BlindScores(stored["people"], **shares))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LeighError(
            f"{file} is damaged ({type(error).__name__}); write it again by a file of answers (--answers)."
        ) from error


def _read_fields(out: Path) -> tuple[pd.DataFrame, str]:
    """Read the table of fields of a finished job, and find the kind of counterfactual to test."""
    if not read_job(out).get("finished") or not (out / "fields.parquet").is_file():
        raise LeighError(f"{out} holds no finished job; give the folder that explain --out has completed.")
    fields = pd.read_parquet(out / "fields.parquet")
    kind = find_blind_kind(fields)
    if kind is None:
        raise LeighError(
            f"{out} has no pictures of typical or confident counterfactuals; explain with an invertible model and "
            "--counterfactual typical or confident."
        )
    return fields, kind


def _read_picture(path: Path) -> Rgb:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError) as error:
        raise LeighError(f"The picture {path} cannot be read; restore the job's folder from a copy.") from error


def _identify(names: Sequence[str], pictures: Sequence[Rgb]) -> str:
    """Identify a test by its names and pixels, from which nobody learns which pictures are real."""
    digest = hashlib.sha256("".join(names).encode())
    for picture in pictures:
        digest.update(np.ascontiguousarray(picture).tobytes())
    return digest.hexdigest()[:16]


def _describe_pictures(names: Sequence[str], chosen: Sequence[BlindField]) -> dict[str, Any]:
    return {
        name: {"field": each.field, "class": each.claim, "generated": each.generated, "seen": each.seen}
        for name, each in zip(names, chosen, strict=True)
    }


def _write_key(out: Path, key: Mapping[str, Any]) -> None:
    _write_json(out / _FOLDER / "key.json", key)


def _read_key(out: Path) -> dict[str, Any]:
    file = out / _FOLDER / "key.json"
    if not file.is_file():
        raise LeighError(f"{out} holds no blind test; make one first, by the same command without --answers.")
    try:
        return dict(json.loads(file.read_text()))
    except (ValueError, TypeError, RecursionError) as error:
        raise LeighError(f"{file} is damaged ({error}); restore it, or remove the folder for another test.") from error


def _answers_folder(out: Path) -> Path:
    return out / _FOLDER / "answers"


def _read_answers(file: Path, key: Mapping[str, Any]) -> tuple[str, Answers]:
    """Read the person, in small letters, and the complete answers to a test."""
    again = "save the file again, at the end of the page"
    if not file.is_file():
        raise LeighError(f"{file} does not exist; give a file of answers that the page of the test has saved.")
    try:
        if file.stat().st_size > _MAX_BYTES:
            raise ValueError("it is too large")
        stored = json.loads(file.read_bytes())
        test, person, answers = stored["test"], stored["person"], stored["answers"]
        values = set(answers.values())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LeighError(f"{file} holds no answers to a blind test; {again}.") from error
    if test != key["test"]:
        raise LeighError(
            f"{file} answers another test ({escape_unprintable(test)}, not {key['test']}); answer the page of this one."
        )
    if not isinstance(person, str) or not _PERSON.fullmatch(person):
        raise LeighError(
            f"{file} is by {escape_unprintable(person)!r}, which is no name of at most 40 letters, digits, _ and -; "
            f"{again}."
        )
    _check_pictures(file, answers, key["pictures"], again)
    if not values <= set(_ANSWERS):
        raise LeighError(f"{file} holds answers other than {' and '.join(_ANSWERS)}; {again}.")
    return person.lower(), answers


def _check_pictures(file: Path, answers: Answers, pictures: Mapping[str, Any], remedy: str) -> None:
    """Refuse answers to pictures that are not in the test, or to some of its pictures only."""
    foreign = [name for name in answers if name not in pictures]
    if foreign:
        named = ", ".join(escape_unprintable(name) for name in foreign[:_MAX_NAMED])
        raise LeighError(f"{file} names {len(foreign)} pictures that are not in the test (such as {named}); {remedy}.")
    missing = len(pictures) - len(answers)
    if missing:
        raise LeighError(f"{file} lacks {missing} of {len(pictures)} answers; finish the page, and {remedy}.")


def _score_answers(key: Mapping[str, Any], people: Sequence[Answers]) -> BlindResult:
    pictures = key["pictures"]
    generated = [each["generated"] for each in pictures.values()]
    taken = [[answers[name] == "real" for name in pictures] for answers in people]
    seen = sum(each["generated"] and each["seen"] for each in pictures.values())
    return BlindResult(key["test"], key["kind"], seen, blind_scores(taken, generated))


def _to_json(result: BlindResult) -> dict[str, Any]:
    scores = result.scores
    shares = {name: getattr(scores, name)._asdict() for name in ("generated", "real", "correct")}
    return {"test": result.test, "kind": result.kind, "seen": result.seen, "people": scores.people, **shares}


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n")
