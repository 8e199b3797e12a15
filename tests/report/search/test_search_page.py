import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leigh_mlops.report.search.importance import MIN_TRIALS, importance, importance_chart
from leigh_mlops.report.search.learning_curves import MAX_POINTS, learning_curves_chart, reference_comparison
from leigh_mlops.report.search.parallel_coordinates import PIXELS_PER_AXIS, ROW_HEIGHT, parallel_coordinates
from leigh_mlops.report.search.pareto import front_chart, front_rows, pareto_front
from leigh_mlops.report.search.plotly_charts import jitter_offsets, needs_log_axis, padded_range
from leigh_mlops.report.search.search_page import SearchRecords, search_page
from leigh_mlops.report.search.search_records import best_trial
from leigh_mlops.report.search.search_summary import summary
from leigh_mlops.settings import SearchSpace

SPACE = SearchSpace(
    family="resnext",
    metric="val/log_loss",
    published={"learning_rate": 0.001, "batch_size": 15, "intensity": "linear", "jitter": 0.0},
    space={
        "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
        "batch_size": [8, 15],
        "intensity": ["linear", "log"],
        "jitter": {"low": 0.0, "high": 0.1, "when": {"intensity": "log"}},
    },
)
TWO = SPACE.replace_fields(early_stopping="none", objectives=[{"metric": "val/inverse_error", "mode": "max"}])
BASELINE = {"model": "baseline", "kind": "baseline", "wells/accuracy": 0.8, "log_loss": 0.5}
POSITION = {"model": "position", "kind": "position", "wells/accuracy": 0.5}
SCRIPT = "<script>document.title = 'taken'</script><img src=x onerror=\"document.title='taken'\">"


def trial(number, loss, **changes):
    config = {"learning_rate": 0.001, "batch_size": 15, "intensity": "linear", "jitter": 0.0}
    metrics = {"val/log_loss": loss, "val/wells/accuracy": 0.9}
    row = {
        "name": f"resnext-{number}", "number": number, "family": "resnext", "status": "finished", "error": None,
        "seconds": 60.0, "epochs": 3, "best_epoch": 2, "winner": False, "config": config, "metrics": metrics,
    }  # fmt: skip
    return row | changes


def curve(name, values, metric="val/log_loss"):
    epochs = np.arange(1, len(values) + 1)
    return pd.DataFrame({"run": name, "family": "resnext", "epoch": epochs, "metric": metric, "value": values})


def records(*trials, space=SPACE, curves=None, references=(BASELINE, POSITION), facts=None):
    table = pd.DataFrame(trials, columns=list(trial(1, 0.5)))
    drawn = pd.concat([curve(row["name"], [0.9, 0.5, 0.6][: row["epochs"]]) for row in trials]) if trials else None
    drawn = curve("none", []) if drawn is None else drawn
    return SearchRecords("Search", [space], table, drawn if curves is None else curves, references, facts or {})


def drawn(count, loss, seed=0):
    """Trials whose score is a function of their configuration."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(1, count + 1):
        config = {
            "learning_rate": float(10 ** rng.uniform(-4, -2)), "batch_size": int(rng.choice([8, 15])),
            "intensity": str(rng.choice(["linear", "log"])), "jitter": float(rng.uniform(0, 0.1)),
        }  # fmt: skip
        rows.append(trial(number, loss(config, rng), config=config))
    return rows


def by_rate(config, rng):
    return abs(np.log10(config["learning_rate"]) + 3) + 0.05 * rng.normal()


def by_chance(config, rng):
    return float(rng.uniform())


def figures(page):
    return json.loads(re.search(r'<script type="application/json" id="figures">(.*?)</script>', page, re.DOTALL)[1])


# Words


def test_a_win_is_said_only_where_the_baseline_is_beaten():
    lost = records(trial(1, 0.4, metrics={"val/log_loss": 0.4, "val/wells/accuracy": 0.8}))
    assert "does not beat the threshold" in summary(lost)[1]
    won = records(trial(1, 0.4))
    assert "it beats both by at least 0.100" in summary(won)[1]
    assert "optimistic" in summary(won)[2]


def test_a_position_that_does_better_comes_before_a_win():
    confounded = records(trial(1, 0.4), references=[BASELINE, POSITION | {"wells/accuracy": 0.95}])
    assert "layout of the plate" in summary(confounded)[1]


def test_the_share_of_the_largest_class_stands_beside_the_accuracies():
    known = {"val/wells/balanced_accuracy": 0.85, "val/wells/majority_share": 0.78}
    measured = {"val/log_loss": 0.4, "val/wells/accuracy": 0.9} | known
    position = POSITION | {"wells/accuracy": 0.78, "wells/balanced_accuracy": 0.5}
    found = records(trial(1, 0.4, metrics=measured), references=[BASELINE, position])
    assert summary(found)[1].endswith(
        "Always naming the largest class of the validation wells is 0.780 accurate, no less than the position on the "
        "plate; the balanced accuracy, the mean over the classes, is 0.850 for the trial and 0.500 for the position on "
        "the plate."
    )
    assert "balanced accuracy (validation wells)" in search_page(found)
    assert "balanced accuracy" not in search_page(records(trial(1, 0.4)))


def test_an_autoencoder_stands_beside_pca():
    reference = {"model": "PCA", "kind": "pca", "mse": 0.02}
    for value, words in ((0.01, "which it beats"), (0.03, "which it does not beat")):
        found = records(trial(1, 0.4, metrics={"val/log_loss": 0.4, "val/mse": value}), references=[reference])
        assert words in summary(found)[1]


def test_a_search_without_scores_says_so():
    assert summary(records()) == ["No trial has started.", "resnext: no trial has a score."]
    alone = summary(records(trial(1, 0.4), references=[]))[1]
    assert "does not show that a network is needed" in alone


def test_endings_are_counted():
    rows = [trial(1, 0.4), trial(2, 0.5, status="stopped"), trial(3, 0.5, status="failed", error="nan", metrics={})]
    first = summary(records(*rows))[0]
    assert first == "3 trials in 1 family (1 finished, 1 stopped early, 1 failed), 3.0 minutes of training in total."


def test_the_winner_is_the_best_and_else_the_best_score():
    rows = [trial(1, 0.4), trial(2, 0.3), trial(3, float("nan"))]
    found = records(*rows)
    assert best_trial(found.family_trials(SPACE), SPACE)["name"] == "resnext-2"
    crowned = records(rows[0] | {"winner": True}, *rows[1:])
    assert best_trial(crowned.family_trials(SPACE), SPACE)["name"] == "resnext-1"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"status": "lost"}, "'lost' is unknown"),
        ({"family": "other"}, "'other' of a trial has no space"),
        ({"name": "resnext-1"}, "two trials are called 'resnext-1'"),
    ],
)
def test_records_are_checked(changes, message):
    with pytest.raises(ValueError, match=message):
        records(trial(1, 0.4), trial(2, 0.4) | changes)


def test_a_missing_column_is_named():
    found = records(trial(1, 0.4))
    with pytest.raises(ValueError, match="'error' is missing"):
        replace(found, trials=found.trials.drop(columns="error"))


# Charts


def test_figures_are_valid_plotly():
    rows = [row | {"metrics": row["metrics"] | {"val/inverse_error": 0.1}} for row in drawn(12, by_rate)]
    found = figures(search_page(records(*rows, trial(13, 0.4, status="failed"), space=TWO)))
    assert {key.split("-")[0] for key in found} == {"beside", "axes", "curves", "importance", "front"}
    for each in found.values():
        for figure in each:
            go.Figure(figure)
    with pytest.raises(ValueError, match="no-such-mode"):
        go.Figure({"data": [{"type": "scatter", "mode": "no-such-mode"}]})


def test_every_point_belongs_to_a_trial():
    for each in figures(search_page(records(*drawn(12, by_rate)))).values():
        for trace in (trace for figure in each for trace in figure["data"] if "meta" in trace):
            assert sum(trace["meta"]["lengths"]) == len(trace["x"]) == len(trace["y"])
            assert len(trace["meta"]["names"]) == len(trace["meta"]["lengths"])


def test_failed_trials_are_marked_and_those_without_an_epoch_are_counted():
    rows = [trial(1, 0.4), trial(2, 0.5)]
    names = [trace.get("name") for trace in learning_curves_chart(records(*rows), SPACE).figures.popitem()[1]["data"]]
    assert "failed (1)" not in names
    rows[1] |= {"status": "failed", "error": "nan"}
    broken = trial(3, 0.0, status="failed", error="no memory", epochs=0, metrics={})
    chart = learning_curves_chart(records(*rows, broken), SPACE)
    ends = {trace["name"]: trace for trace in chart.figures.popitem()[1]["data"] if trace.get("name")}
    assert ends["failed (1)"]["marker"]["symbol"] == "x"
    assert ends["failed (1)"]["x"] == [3]
    assert "1 trial ended before the first epoch" in chart.caption


def test_values_that_are_not_finite_are_left_out():
    found = records(trial(1, 0.4), curves=curve("resnext-1", [0.5, float("nan"), float("inf")]))
    line = learning_curves_chart(found, SPACE).figures.popitem()[1]["data"][0]
    assert line["y"] == [0.5, None]


def test_long_curves_are_thinned_to_their_end():
    short = learning_curves_chart(records(trial(1, 0.4), curves=curve("resnext-1", [0.5] * 100)), SPACE)
    assert "thinned" not in short.caption
    values = np.linspace(1, 0.1, MAX_POINTS)
    chart = learning_curves_chart(records(trial(1, 0.4), curves=curve("resnext-1", values)), SPACE)
    line = chart.figures.popitem()[1]["data"][0]
    assert len(line["x"]) <= MAX_POINTS // 2 + 2
    assert line["x"][-2] == MAX_POINTS
    assert "thinned" in chart.caption


def test_a_hyperparameter_that_was_not_drawn_stands_apart():
    used = {"learning_rate": 0.001, "batch_size": 8, "intensity": "log", "jitter": 0.0}
    both = records(trial(1, 0.4, config=used), trial(2, 0.5, config=used | {"jitter": 0.1}))
    assert "not used" not in json.dumps(parallel_coordinates(both, SPACE).figures[""])
    chart = parallel_coordinates(records(trial(1, 0.4, config=used), trial(2, 0.5)), SPACE)
    figure = chart.figures[""]
    assert "not used" in [note["text"] for note in figure["layout"]["annotations"]]
    best = next(trace for trace in figure["data"] if trace["name"].startswith("the best"))
    assert best["y"][3] == 0.0
    assert best["y"][-2:] == [1.0, None]


def test_many_hyperparameters_are_rows_that_fit_on_a_screen():
    assert parallel_coordinates(records(trial(1, 0.4), trial(2, 0.5)), SPACE).width == PIXELS_PER_AXIS * 5
    many = {f"architecture.part_{number}": [0, 1] for number in range(15)}
    space = SPACE.replace_fields(space=many, published=dict.fromkeys(many, 0))
    chart = parallel_coordinates(records(*(trial(n, 0.4 + n, config=space.published) for n in (1, 2))), space)
    assert chart.width <= 1280
    best = next(trace for trace in chart.figures[""]["data"] if trace["name"].startswith("the best"))
    assert best["x"] == [*range(9), None, *range(8), None]
    assert (best["y"][8], best["y"][-2]) == (1.0, pytest.approx(1 - ROW_HEIGHT))
    names = [note["text"] for note in chart.figures[""]["layout"]["annotations"] if "<b>part" in note["text"]]
    assert len(names) == 15


def test_one_trial_has_no_parallel_coordinates():
    assert parallel_coordinates(records(trial(1, 0.4)), SPACE) is None
    assert "fewer than two trials" in search_page(records(trial(1, 0.4)))


def test_references_are_lines_beside_the_trials():
    assert reference_comparison(records(trial(1, 0.4), references=[])) is None
    figure = reference_comparison(records(trial(1, 0.4))).figures["accuracy (validation wells)"]
    lines = {trace["name"]: trace["x"] for trace in figure["data"] if trace["mode"] == "lines"}
    assert lines == {"a threshold on intensity (0.8)": [0.8, 0.8], "the position on the plate (0.5)": [0.5, 0.5]}


@given(st.integers(0, 200), st.floats(0.01, 1))
def test_marks_are_spread_within_bounds(count, width):
    steps = jitter_offsets(count, width)
    assert len(set(steps)) == count
    assert all(abs(step) <= width / 2 for step in steps)


@given(st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1))
def test_padded_axes_hold_all_values(values):
    shown = np.log10(values) if needs_log_axis(values) else values
    low, high = padded_range(values)
    assert low < min(shown)
    assert high > max(shown)


# Importance


def test_importance_finds_what_mattered():
    shares = importance(records(*drawn(60, by_rate)), SPACE)
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"][0] > 0.6
    assert shares["learning_rate"][1]
    assert sum(share for share, _ in shares.values()) == pytest.approx(1)


def test_chance_is_called_chance():
    beaten = [
        beats
        for seed in range(10)
        for _, beats in importance(records(*drawn(40, by_chance, seed)), SPACE).values()
    ]  # fmt: skip
    assert np.mean(beaten) < 0.2


def test_too_few_trials_give_a_sentence():
    enough = drawn(MIN_TRIALS, by_rate)
    assert not isinstance(importance_chart(records(*enough), SPACE), str)
    failed = [enough[0] | {"status": "failed"}, *enough[1:]]
    assert importance_chart(records(*failed), SPACE) == (
        "resnext: too few trials to say (7 with a score; 8 are needed)."
    )
    same = [trial(number, 0.1 * number) for number in range(1, 10)]
    assert importance_chart(records(*same), SPACE) == "resnext: no hyperparameter varied."


def test_importance_is_quiet(capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        importance(records(*drawn(10, by_rate)), SPACE)
    assert not caught
    assert capfd.readouterr() == ("", "")


# Pareto front


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_front_is_what_nobody_dominates(rows):
    def dominates(one, other):
        return one != other and all(a <= b for a, b in zip(one, other, strict=True))

    expected = [not any(dominates(other, row) for other in rows) for row in rows]
    assert pareto_front(rows).tolist() == expected


def test_front_follows_each_objectives_mode():
    values = [(0.1, 0.1), (0.2, 0.5), (0.3, 0.4)]
    rows = [
        trial(number, loss, metrics={"val/log_loss": loss, "val/inverse_error": other})
        for number, (loss, other) in enumerate(values, start=1)
    ]
    rows.append(trial(4, 0.01))
    assert [row["name"] for row in front_rows(records(*rows, space=TWO), TWO)] == ["resnext-1", "resnext-2"]
    chart = front_chart(records(*rows, space=TWO), TWO)
    assert chart.caption.startswith("2 trials of 3 of resnext")
    assert front_chart(records(trial(1, 0.4), space=TWO), TWO) == "resnext: no trial has a score in all objectives."


def test_front_has_a_section_only_where_there_are_several_objectives():
    assert 'id="front"' not in search_page(records(trial(1, 0.4)))
    assert 'id="front"' in search_page(records(trial(1, 0.4), space=TWO))


# The page


def test_page_of_a_search_that_has_just_begun():
    page = search_page(records())
    assert "No trial has started." in page
    assert "No trial failed." in page
    assert figures(page) == {}
    assert "still running" in search_page(records(trial(1, 0.0, status="running", epochs=0, metrics={})))


def test_failures_have_their_reason_and_the_best_its_mark():
    rows = [trial(1, 0.5), trial(2, 0.4), trial(3, 0.0, status="failed", error="the loss is nan", metrics={})]
    rows.append(trial(4, 0.6, status="killed"))
    page = search_page(records(*rows, facts={"seed": "7"}))
    assert '<td>failed</td><td class="number">3</td><td class="words">the loss is nan</td>' in page
    assert '<td>killed</td><td class="number">3</td><td class="words">-</td>' in page
    assert page.index(">resnext-2</button> *") < page.index(">resnext-1</button>")
    assert page.count("</button> *") == 1
    assert "<dt>seed</dt><dd>7</dd>" in page
    assert "No trial failed." not in page


def test_html_in_any_text_is_shown_not_run():
    config = {"learning_rate": 0.001, "batch_size": SCRIPT, "intensity": SCRIPT, "jitter": 0.0}
    rows = [trial(n, 0.1 * n, name=f"{SCRIPT}{n}", error=SCRIPT, status="failed", config=config) for n in range(1, 10)]
    rows.append(trial(10, 0.1, name=SCRIPT, config=config | {"batch_size": "\udcff"}))
    space = SPACE.model_copy(update={"family": SCRIPT})
    found = records(*[row | {"family": SCRIPT} for row in rows], space=space, facts={SCRIPT: SCRIPT})
    reference = BASELINE | {"kind": "pca", "model": SCRIPT}
    found = replace(found, title=SCRIPT, references=[reference], curves=found.curves.assign(family=SCRIPT))
    page = search_page(found)
    assert page.count("<script") == 3
    assert "<img" not in page
    texts = [text for each in figures(page).values() for text in strings(each)]
    assert any(html.escape(SCRIPT) in text for text in texts)
    assert not [text for text in texts if "<script" in text or "<img" in text]
    page.encode("utf-8")


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from strings(each)


def test_only_the_pages_own_scripts_may_run_and_nothing_is_asked_for():
    page = search_page(records(*drawn(10, by_rate)))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; img-src data: blob:;")
    bodies = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(body.encode()).digest()).decode() for body in bodies]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert len(digests) == 2
    assert "unsafe" not in policy.replace("style-src 'unsafe-inline'", "")
    outside = page.split("<script>")[0]
    assert not [target for target in re.findall(r'(?:src|href)="([^"]*)"', outside) if not target.startswith("#")]
    assert 'showSendToCloud: false, plotlyServerURL: ""' in bodies[1]


@pytest.mark.browser
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium on this machine")
def test_charts_are_drawn_in_a_browser(tmp_path):
    rows = [row | {"name": f"{SCRIPT}{row['number']}"} for row in drawn(10, by_rate)]
    path = tmp_path / "search.html"
    path.write_text(search_page(records(*rows)), encoding="utf-8")
    assert '<svg class="main-svg"' not in path.read_text(encoding="utf-8").split("<script>")[0]
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    body = shown.split("<script>")[0]
    assert body.count('<svg class="main-svg"') >= 3
    assert "<title>Search</title>" in shown
    assert "&lt;script&gt;document.title" in re.sub(r"<tspan[^>]*>|</tspan>", "", body)
