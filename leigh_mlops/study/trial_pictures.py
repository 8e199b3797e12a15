"""Pictures by which the kept trials of all families are compared: the same validation fields in the same order."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage
from leigh_mlops.report.published_figures import training_curves
from leigh_mlops.report.sheets import contact_sheet
from leigh_mlops.study.evaluation import predict_rows
from leigh_mlops.study.examples import Examples, explain_examples, prior_samples
from leigh_mlops.study.score_figures import score_figures
from leigh_mlops.tracking import GridImage, Run
from leigh_mlops.training import PreparedData, select_objective

__all__ = ["log_trial_pictures"]


def log_trial_pictures(
    run: Run,
    package: ModelPackage,
    data: PreparedData,
    epochs: Sequence[Mapping[str, float]],
    *,
    kept: int,
    at: float,
) -> None:
    """Log the pictures of a kept trial, both as files and for the image grid of MLflow's UI.

    Args:
        run: Run of the trial.
        package: Its network.
        data: Data of the study; its validation part is shown.
        epochs: Metrics of each epoch.
        kept: Epoch of the network, from 1.
        at: Moment of all images, in seconds since 1970.
    """
    figures = {"figures/training": training_curves(epochs, kept=kept)}
    figures |= {f"validation/{name}": figure for name, figure in _validation_figures(package, data).items()}
    for name, figure in figures.items():
        run.log_figure(figure, f"{name}.png", grid=GridImage(name.rpartition("/")[2].replace("_", " "), at))
    if samples := prior_samples(package):
        sheet = contact_sheet(samples, "Fields drawn from the prior", "They show what the network has learned of all.")
        run.log_figure(sheet, "pictures/samples.png", grid=GridImage("samples", at))
    try:
        examples = explain_examples(package, data)
    except LeighError as error:
        # A network that can't be explained yet is registered all the same.
        run.set_tags({"pictures": str(error)})
        return
    _log_examples(run, examples, package.model.spec.family, kept=kept, at=at)


def _validation_figures(package: ModelPackage, data: PreparedData) -> dict[str, Figure]:
    outputs = predict_rows(package, data, data.rows("val"))
    scores = select_objective(package.model).scores(outputs, list(data.wells[outputs.rows]), data.classes)
    return score_figures(package.model.task, data, outputs, scores)


def _log_examples(run: Run, examples: Examples, family: str, *, kept: int, at: float) -> None:
    note = "All images on one intensity scale."
    heading = f"Validation fields as the {family} sees them"
    run.log_figure(contact_sheet(examples.rows, heading, note, scale=examples.scale), "pictures/examples.png")
    for number, row in enumerate(examples.rows, start=1):
        sheet = contact_sheet([row], f"{family}, epoch {kept}", note, scale=examples.scale)
        run.log_image(sheet, GridImage(f"example {number}", at))
