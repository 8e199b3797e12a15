import io

import pandas as pd
import pytest
from rich.console import Console

from leigh_mlops.report.sentences import comparison_sentences, confound_sentences, effect_lines
from leigh_mlops.report.terminal_tables import flag_table, leaderboard_table, score_table

FREE = {"accuracy": 0.5, "auc": 0.49, "wells": 25}


def scores(accuracy, wells=25):
    return {"accuracy": accuracy, "wells": wells}


def test_network_wins_only_with_an_interval_above_zero():
    claimed = comparison_sentences(scores(0.96), scores(0.8), FREE, difference=(0.04, 0.28))[0]
    assert claimed == (
        "The network beats a threshold on intensity by 0.160 (accuracy on test wells 0.960 against 0.800; "
        "the difference lies between 0.040 and 0.280)."
    )
    for difference in (None, (0.0, 0.3), (-0.1, 0.3)):
        assert "do not show" in comparison_sentences(scores(0.96), scores(0.8), FREE, difference=difference)[0]


def test_tie():
    assert comparison_sentences(scores(1.0), scores(1.0), FREE)[0] == (
        "A threshold on intensity does as well as the network (accuracy on test wells 1.000 against 1.000): "
        "these images can be classified without a network."
    )


def test_tie_at_chance_does_not_call_a_network_unneeded():
    assert comparison_sentences(scores(0.5), scores(0.5), FREE)[0].endswith(
        "this does not show that a network is needed."
    )


def test_baseline_wins():
    first = comparison_sentences(scores(0.8), scores(0.96), FREE, difference=(-0.3, -0.04))[0]
    assert first.startswith("A threshold on intensity beats the network by 0.160 (0.960 against 0.800")


@pytest.mark.parametrize("network", [0.7, 1.0])
def test_position_stands_first_whoever_wins(network):
    sentences = comparison_sentences(scores(network), scores(0.8), {"auc": 0.98}, difference=(0.1, 0.3))
    assert sentences[0] == (
        "The position on the plate alone predicts the class (AUC 0.98): "
        "no score on these images can separate biology from position."
    )


def test_position_that_explains_nothing_stands_later():
    assert comparison_sentences(scores(1.0), scores(1.0), FREE)[1].startswith("No smooth trend over the plate")


def test_number_of_wells_is_said():
    assert comparison_sentences(scores(1.0), None, None)[-1] == (
        "25 wells were scored: each well changes the accuracy by 0.040."
    )
    assert comparison_sentences(scores(1.0, wells=5), None, None)[-1].startswith("Only 5 wells")


def test_missing_scores_are_said_to_be_missing():
    sentences = " ".join(comparison_sentences({}, None, None))
    assert sentences.count("could not be computed") == 2
    assert "number of test wells is unknown" in sentences


def test_the_share_of_the_largest_class_stands_beside_the_accuracy():
    position = FREE | {"accuracy": 0.78, "balanced_accuracy": 0.5, "majority_share": 0.78}
    model = scores(0.96) | {"balanced_accuracy": 0.93, "majority_share": 0.78}
    second = comparison_sentences(model, scores(0.8), position)[1]
    assert second == (
        "Always naming the largest class of the test wells is 0.780 accurate, no less than the position on the plate; "
        "the balanced accuracy, the mean over the classes, is 0.930 for the network and 0.500 for the position on the "
        "plate."
    )
    assert "no less" not in comparison_sentences(model, scores(0.8), position | {"accuracy": 0.8})[1]
    assert "largest class" not in " ".join(comparison_sentences(scores(0.96), scores(0.8), FREE))


def test_interval_must_be_ordered():
    with pytest.raises(ValueError, match="low <= high"):
        comparison_sentences(scores(1.0), scores(1.0), FREE, difference=(0.3, 0.1))


ROWS = [
    {"model": "resnext-1", "family": "resnext", "log_loss": 0.3, "accuracy": 0.9},
    {"model": "resnext-[red]2", "family": "resnext", "log_loss": 0.1, "wells/accuracy": 1.0, "wells/z_prime": 0.8},
    {"model": "autoencoder-1", "family": "autoencoder", "mse": 0.46, "log_loss": float("nan")},
    {"model": "mean", "kind": "baseline", "accuracy": 1.0},
    {"model": "quadratic", "kind": "position", "accuracy": 0.5},
]


def printed(table):
    console = Console(width=140, file=io.StringIO(), color_system=None)
    console.print(table)
    return console.file.getvalue().splitlines()


def line(lines, word):
    return next(text for text in lines if word in text)


def test_leaderboard_marks_the_best_of_each_family():
    lines = printed(leaderboard_table(ROWS))
    assert "*" in line(lines, "resnext-[red]2")
    assert "*" not in line(lines, "resnext-1")
    assert "*" in line(lines, "autoencoder-1")
    assert "nan" not in "".join(lines)


def test_leaderboard_takes_winners_from_the_caller():
    lines = printed(leaderboard_table(ROWS, winners=["resnext-1"]))
    assert "*" in line(lines, "resnext-1")
    assert "*" not in line(lines, "resnext-[red]2")


def test_references_stand_last():
    lines = printed(leaderboard_table(ROWS[::-1]))
    order = [
        place
        for word in ("autoencoder-1", "a threshold", "the position")
        for place, text in enumerate(lines)
        if word in text
    ]
    assert order[0] < min(order[1:])


BESIDE = (scores(0.75, wells=4), scores(1.0, wells=4), scores(0.5, wells=4))


def test_wells_next_to_another_class_are_said_where_position_tells():
    second = comparison_sentences(scores(1.0), scores(0.8), {"auc": 0.98}, beside=BESIDE)[1]
    assert second.startswith("On the 4 wells with a neighbour of another class")
    assert "the accuracy is 0.750 (a threshold on intensity 1.000, the position on the plate 0.500)" in second
    uneven = (BESIDE[0] | {"majority_share": 0.6}, *BESIDE[1:])
    second = comparison_sentences(scores(1.0), scores(0.8), {"auc": 0.98}, beside=uneven)[1]
    assert "the position on the plate 0.500, always the largest class 0.600)" in second
    assert "neighbour" not in " ".join(comparison_sentences(scores(1.0), scores(0.8), FREE, beside=BESIDE))


def test_without_such_wells_it_is_said():
    assert comparison_sentences(scores(1.0), scores(0.8), {"auc": 0.98})[1].startswith("No scored well has a neighbour")
    assert comparison_sentences(scores(1.0), scores(0.8), {"auc": 0.98}, beside=({}, {}, {}))[1].startswith(
        "No scored well"
    )


def test_confounds_are_named_only_where_they_predict_the_class():
    harmless = {"position": {"auc": 0.5}, "plate": {"auc": 0.5}, "background": {"auc": 0.79}}
    assert confound_sentences(harmless) == []
    few = {"focus": {"auc": 0.85, "chance_auc": 0.91}}
    assert confound_sentences({"focus": {"auc": 0.85}})
    assert confound_sentences(few) == []
    found = confound_sentences({name: {"auc": 0.97} for name in ("position", "plate", "background")})
    assert [sentence.split(" alone")[0] for sentence in found] == [
        "The position on the plate",
        "The plate",
        "Pixels without cells",
    ]
    assert all("(AUC 0.97)" in sentence for sentence in found)


def test_only_strong_effects_are_said_the_strongest_first():
    effects = [
        {"plate": "P", "measure": "TMRM", "effect": name, "explained": share, "p": 1e-4}
        for name, share in (("row", 0.05), ("column", 0.2), ("edge", 0.4))
    ]
    assert [line.split(" explains ")[1][:4] for line in effect_lines(effects)] == ["40 %", "20 %"]
    assert effect_lines(effects[:1]) == []
    assert effect_lines([each | {"p": 0.01} for each in effects]) == []


def test_side_by_side_leaves_out_what_nobody_has():
    rows = {"models:/a/1": {"wells/accuracy": 0.9}, "the position on the plate": {"wells/accuracy": 0.5, "log_loss": 1}}
    lines = printed(score_table(rows, title="Test wells"))
    assert "0.900" in line(lines, "models:/a/1")
    assert "-" in line(lines, "models:/a/1")
    assert "Z'" not in " ".join(lines)


def test_tables_of_both_z_primes_say_which_to_read():
    scores = {"wells/z_prime": 0.81, "wells/z_prime_log_odds": 0.19}
    board = leaderboard_table([{"model": "resnext-1", "family": "resnext"} | scores])
    for table in (score_table({"resnext-1": scores}, title="Test wells"), board):
        text = " ".join(" ".join(printed(table)).split())
        assert "0.19 0.81" in text.replace("│", "").replace("  ", " ")
        assert "For a screen, read the Z' of log-odds." in text


def test_flaws_are_counted_by_class():
    counts = pd.DataFrame({"DS": [1, 0], "TT[x]": [2, 3]}, index=["out of focus", "empty"])
    lines = printed(flag_table(counts))
    assert "TT[x]" in " ".join(lines)
    assert [int(cell) for cell in line(lines, "out of focus").split() if cell.isdigit()] == [1, 2]


def test_tables_name_the_share_of_the_largest_class():
    known = {"wells/accuracy": 0.78, "wells/balanced_accuracy": 0.5, "wells/majority_share": 0.78}
    for table in (score_table({"position": known}, title=""), leaderboard_table([{"kind": "position"} | known])):
        lines = printed(table)
        assert "0.780" in line(lines, "position")
        assert "0.500" in line(lines, "position")
        assert "Always naming the largest class: accuracy 0.780 of wells." in " ".join(" ".join(lines).split())
    assert "largest class" not in " ".join(printed(score_table({"position": scores(0.5)}, title="")))
