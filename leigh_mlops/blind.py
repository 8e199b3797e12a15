"""Command ``blind``: a blind test by people of the counterfactuals of a job."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import console, run


def blind(
    out: Annotated[Path, typer.Argument(help="Folder of a finished job of explain with counterfactuals.")],
    answers: Annotated[
        list[Path] | None,
        typer.Option("--answers", help="File of answers that the page has saved; may be repeated, one per person."),
    ] = None,
    fields: Annotated[
        int,
        typer.Option("--fields", min=2, help="Number of generated fields of a new test; there are as many real ones."),
    ] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Random seed of the fields of a new test.")] = 0,
) -> None:
    """Make a page on which people call fields real or generated; with --answers, score what they answered."""
    from leigh_mlops.jobs.blind_test import make_blind_test, store_answers
    from leigh_mlops.jobs.reporting.blind_summary import show_blind_result, summarise_blind_test

    if not answers:
        page = make_blind_test(out, fields, seed)
        console.print(
            f"Wrote the test to {page}; give people the folder {page.parent}, and score the files that they save by "
            "--answers.",
            markup=False,
        )
        return
    result = store_answers(out, answers)
    for sentence in summarise_blind_test(result):
        console.print(sentence, markup=False)
    if not show_blind_result(out, result):
        console.print("The report has no place for the result yet; run the command of the job again.", markup=False)


if __name__ == "__main__":
    run(blind)
