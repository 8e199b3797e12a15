"""Sentences on the blind test of a job, and their section in its report."""

from pathlib import Path

from leigh_mlops.jobs.blind_test import BlindResult
from leigh_mlops.report.job.blind_page import replace_blind_section
from leigh_mlops.scores.blind_scores import FieldShare

__all__ = ["show_blind_result", "summarise_blind_test"]

_GUESSING = 0.5


def summarise_blind_test(result: BlindResult | None) -> list[str]:
    """Summarise a blind test, the share of generated fields that are taken for real first; none without a result."""
    if result is None:
        return []
    scores = result.scores
    made, real = scores.generated, scores.real
    people = "1 person" if scores.people == 1 else f"{scores.people} people"
    sentences = [
        f"Generated fields ({result.kind} counterfactuals) that are taken for real: {_format_share(made)}.",
        f"Real fields of the same classes that are taken for real: {_format_share(real)}. Equal shares mean that "
        "nobody tells the two apart.",
        f"Right answers: {_format_share(scores.correct)}; guessing gives 50 %. {_verdict(scores.correct)}",
        f"{people} judged {made.fields} generated and {real.fields} real fields. The intervals count fields, not "
        "answers.",
    ]
    if result.seen:
        sentences.append(f"The model was trained or chosen on the originals of {result.seen} of the generated fields.")
    return sentences


def show_blind_result(out: Path, result: BlindResult) -> bool:
    """Show a result in the report of a job; return whether its page has a place for it."""
    return replace_blind_section(out / "report" / "index.html", summarise_blind_test(result))


def _format_share(found: FieldShare) -> str:
    share, low, high = (f"{100 * value:.0f} %" for value in (found.share, found.low, found.high))
    return f"{share} (95 % interval {low} to {high})"


def _verdict(correct: FieldShare) -> str:
    if correct.low > _GUESSING:
        return "The answers are better than guesses."
    if correct.high < _GUESSING:
        return "The answers are worse than guesses: people see a difference, and call it by the wrong name."
    return "The interval contains guessing, so this test does not show that people tell the two apart."
