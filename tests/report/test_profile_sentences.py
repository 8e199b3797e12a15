from io import StringIO
from typing import Any

from rich.console import Console

from leigh_mlops.report.profile_sentences import normalisation_sentences, normalisation_table


def row(features: str, normalisation: str, **scores: Any) -> dict[str, Any]:
    known = {"replicate_map": 0.5, "replicate_chance": 0.2, "activity_map": 0.6, "consistency_map": None,
             "plate_share": 0.25, "active": 3, "held_out": False, "treatments": 4, "kept": 8}  # fmt: skip
    return {"features": features, "normalisation": normalisation} | known | scores


CHOSEN = ("embedding", "none")


def test_the_chosen_normalisation_is_described() -> None:
    assert normalisation_sentences([row(*CHOSEN)], CHOSEN, "treatment") == [
        "Replicates are wells of one treatment; they find each other with a mAP of 0.50 (by chance 0.20).",
        "3 of 4 treatments are active against negative controls (false discovery rate 5 %).",
    ]


def test_a_better_normalisation_and_a_better_baseline_are_named() -> None:
    better = row("embedding", "tvn", replicate_map=0.8)
    said = normalisation_sentences([row(*CHOSEN), better], CHOSEN, "treatment")
    assert said[-1] == "The mAP of replicates is 0.50 with --normalise none and 0.80 with tvn."
    rows = [row(*CHOSEN), better, row("intensity", "mad", replicate_map=0.9)]
    assert normalisation_sentences(rows, CHOSEN, "treatment")[-1] == (
        "Intensity features (mad) reach a mAP of replicates of 0.90, the embedding at most 0.80: it adds nothing to "
        "them here."
    )
    rows[-1] |= {"replicate_map": 0.4}
    assert not any("Intensity" in each for each in normalisation_sentences(rows, CHOSEN, "treatment"))


def test_activity_against_controls_that_fitted_the_normalisation_is_doubted() -> None:
    fitted = row("embedding", "tvn")
    said = normalisation_sentences([fitted], ("embedding", "tvn"), "treatment")
    assert said[2].startswith("The same controls fitted tvn, so that treatments differ from them too easily")
    held_out = normalisation_sentences([fitted | {"held_out": True}], ("embedding", "tvn"), "treatment")
    assert held_out[2].startswith("Half of the controls fitted tvn, and activity is measured against the other half")
    mad = row("embedding", "mad")
    assert len(normalisation_sentences([mad], ("embedding", "mad"), "treatment")) == 2


def test_nothing_to_compare_is_said() -> None:
    nothing = row(*CHOSEN, replicate_map=None, activity_map=None)
    assert normalisation_sentences([nothing], CHOSEN, "well") == [
        "No well has two usable fields, so that replicates can't be compared."
    ]


def test_the_table_shows_what_is_known() -> None:
    console = Console(file=StringIO(), width=110)
    console.print(normalisation_table([row(*CHOSEN), row("intensity", "mad", plate_share=None)]))
    text = console.file.getvalue()
    assert "mAP of" in text
    assert "consistency" not in text
    assert "0.250" in text
    assert " - " in text
