from leigh_mlops.report.run_notes import (
    explanation_note,
    kept_sentence,
    reference_note,
    search_note,
    stored_sentence,
    trial_note,
)


def test_a_search_names_its_families_its_images_and_at_its_end_its_winners() -> None:
    note = search_note({"resnext": 8, "iresnet": 1}, "my `plate`", demo=False)
    assert "on `my 'plate'`: 8 trials of `resnext`, 1 trial of `iresnet`." in note
    assert "demo" not in note
    ended = search_note({"resnext": 8}, "demo", demo=True, results=["models:/a/1 (resnext-1):", "  It is champion."])
    assert "a generated demo plate" in ended
    assert ended.endswith("models:/a/1 (resnext-1):\n\nIt is champion.")


def test_a_trial_says_what_it_has_no_score_for() -> None:
    first = trial_note("autoencoder", 1, "plate", task="reconstruct", image_size=64)
    assert "the published configuration, on `plate` at 64 px" in first
    assert "neither accuracy nor Z'" in first
    second = trial_note("resnext", 2, "plate", task="classify", image_size=64, sentences=["It failed: it burst."])
    assert "published" not in second
    assert "no error of reconstruction" in second
    assert second.endswith("\n\nIt failed: it burst.")


def test_the_kept_network_is_named_by_its_epoch_and_its_score() -> None:
    kept = {"epoch": 3, "epochs": 7, "stopped": None}
    assert "epoch 3 of 7, with the lowest `val/mse` (0.1235)" in kept_sentence("val/mse", "min", 0.12345, **kept)
    early = kept_sentence("val/auc", "max", 0.9, **(kept | {"stopped": "time budget"}))
    assert "with the highest `val/auc`" in early
    assert early.endswith("The trial ended early (time budget).")


def test_what_is_in_the_store_is_named() -> None:
    assert "Stored: `model` (epoch 3) and `last` (epoch 7);" in stored_sentence([("model", 3), ("last", 7)])
    assert "Its network is not stored;" in stored_sentence([])


def test_references_say_what_they_are_for() -> None:
    assert "A network should beat it." in reference_note("baseline", "plate")
    assert "neither accuracy nor Z'" in reference_note("pca", "plate")
    assert "sees no image" in reference_note("position", "plate")


def test_an_explanation_names_its_model_and_its_report() -> None:
    assert explanation_note("models:/a/1", "plate", "out") == (
        "**Explanation** of `plate` by `models:/a/1`, made in `out`. Its report is `report/index.html`."
    )
