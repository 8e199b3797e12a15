"""Open search: families are searched, and their winners are tested and registered."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.events import DataFacts, Ended, EpochDone, Opened, Searched, TrialEvent
from leigh_mlops.models import MODELS, ModelPackage
from leigh_mlops.models.tensor_files import read_arrays, write_arrays
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.progress import Steps
from leigh_mlops.report.run_notes import stored_sentence
from leigh_mlops.search import SearchPlan, SearchProcess, SearchRequest
from leigh_mlops.search.request import SearchStart
from leigh_mlops.settings import SearchSpace, TrainingSettings
from leigh_mlops.study.baselines import fit_latent_baseline
from leigh_mlops.study.console_summary import (
    Confounds,
    print_adaptation,
    print_baseline,
    print_family,
    winner_lines,
)
from leigh_mlops.study.counterfactual_scores import counterfactual_scores
from leigh_mlops.study.delivery import Delivery, kept_step
from leigh_mlops.study.left_out_plates import LeftOut, score_baselines_by_plate, score_network_by_plate
from leigh_mlops.study.model_selection import (
    Winner,
    checkpoint_package,
    evaluate_and_register,
    log_package,
    make_package,
    needs_references,
)
from leigh_mlops.study.prepare import measure_confounds
from leigh_mlops.study.progress_board import ProgressBoard
from leigh_mlops.study.run_artifacts import leaderboard_row, log_data, log_references, log_summary, rank_trials
from leigh_mlops.study.search_folder import SavedSearch
from leigh_mlops.study.spaces import latent_size
from leigh_mlops.study.study_data import StudyData
from leigh_mlops.study.study_options import StudyOptions
from leigh_mlops.study.supervisor import Supervisor
from leigh_mlops.study.trial_notes import ended_note
from leigh_mlops.study.trial_pictures import log_trial_pictures
from leigh_mlops.tracking import BEST_MODEL, LAST_MODEL, NO_WHEEL, Run, Store, StoreUnavailableError, revision
from leigh_mlops.training import PreparedData, is_adapted, load_trained_network
from leigh_mlops.trials import Trial, collect_trials

__all__ = ["NoNetworkError", "OpenSearch", "SearchResult"]

STORE_WAIT_S = 600.0


class NoNetworkError(LeighError):
    """No trial gave a network; resuming the search would not help."""


@dataclass(frozen=True)
class SearchResult:
    """Result of a search.

    Attributes:
        winners: One winner per family that has a network.
        rows: Leaderboard of all trials and references.
        confounds: Scores of position, plate and background alone.
    """

    winners: Sequence[Winner]
    rows: Sequence[dict[str, Any]]
    confounds: Confounds


@dataclass(frozen=True)
class OpenSearch:
    """Search whose data are prepared and whose run is open.

    Attributes:
        options: Options of the study.
        data: Its data.
        facts: Facts about the data.
        store: Store of all runs.
        saved: Locked folder of the search.
        opened: Event that opened it.
        parent: Its run.
        delivery: Delivery of its journal.
        process: Process that runs the trials.
        console: Console to print to.
    """

    options: StudyOptions
    data: StudyData
    facts: DataFacts
    store: Store
    saved: SavedSearch
    opened: Opened
    parent: Run
    delivery: Delivery
    process: SearchProcess
    console: Console

    def run(self) -> SearchResult:
        """Log the references, search all families, register their winners, and log the summary.

        Raises:
            LeighError: The store or a search can't be used, or no family gave a network.
        """
        data, options = self.data.data, self.options
        references, confounds = self._log_references()
        searched = self._search_families()
        self._wait_for_delivery()
        total = 1 + sum(1 + min(space.keep, space.trials) for space in options.spaces)
        if options.judge_by == "plate":
            classifiers = sum(MODELS[space.family].task == "classify" for space in options.spaces)
            total += classifiers * data.table[Metadata.PLATE].nunique()
        with Steps(self.console, "ending the search", total) as steps:
            winners = self._register_winners(searched, steps)
            steps.begin("figures and page of the search")
            trials = [trial for trials in searched.values() for trial in trials]
            rows = [leaderboard_row(trial, winners) for trial in trials] + references
            lines = [line for winner in winners for line in winner_lines(winner, data, confounds)]
            self.parent.set_note(options.note(self.facts, lines))
            log_summary(self.parent, options.spaces, trials, rows, lines, self.facts)
        return SearchResult(winners, rows, confounds)

    def _log_references(self) -> tuple[list[dict[str, Any]], Confounds]:
        """Log the data and the references; return their rows of the leaderboard, and the confounds."""
        data, options, moment = self.data.data, self.options, self.opened.time
        with Steps(self.console, "references without a network", 4) as steps:
            steps.begin("baselines")
            reference_scores = self._classifier_baselines()
            steps.begin("position, plate and background alone")
            confounds = measure_confounds(data)
            print_baseline(self.console, reference_scores, confounds)
            steps.begin("facts of the data")
            log_data(self.parent, options.source, data, options.spaces, confounds, seed=options.seed, at=moment)
            steps.begin("principal components")
            reference_scores |= self._latent_baseline()
            return log_references(self.store, self.parent, reference_scores, self.facts, at=moment), confounds

    def _classifier_baselines(self) -> dict[str, dict[str, float]]:
        """Scores of the baselines of a classifier; none where the images do not have two classes."""
        data = self.data.data.labelled_data
        baselines = self.data.baselines_for_size(data.image_size)
        if baselines is None:
            return {}
        found = baselines.scores(data, data.rows("val"))
        for name, scores in score_baselines_by_plate(data, self.options.seed).items():
            found[name] |= scores
        return found

    def _latent_baseline(self) -> dict[str, dict[str, float]]:
        """Scores of PCA, the baseline of an autoencoder."""
        for space in self.options.spaces:
            if space.family == "autoencoder":
                data = self.data.at_size(space.image_size)
                scale = data.scale(TrainingSettings.from_flat(space.published).intensity)
                return {"pca": {"mse": fit_latent_baseline(data, scale, latent_size(space, len(data.channels)))[1]}}
        return {}

    def _search_families(self) -> dict[str, list[Trial]]:
        """Search all families; return all trials by family."""
        supervisor = Supervisor(self.saved.journal, self.console, self.process)
        budget_s = self.options.time_budget_s
        left_s = None if budget_s is None else budget_s - self.saved.spent_s
        plan = SearchPlan([self._request(space) for space in self.options.spaces], left_s)
        known = [
            trial for family in plan.spaces for trial in collect_trials(self.saved.journal.events, family).values()
        ]
        with ProgressBoard(plan.spaces, known, self.console) as board:

            def handle(event: TrialEvent) -> None:
                self.delivery.wake()
                board.update(event)

            def announce(start: SearchStart) -> None:
                space = plan.spaces[start.family]
                print_family(self.console, space, start.time_budget_s)
                print_adaptation(self.console, space, self.data.at_size(space.image_size))

            searched = supervisor.search(plan, handle, announce)
        self.process.terminate()
        return searched

    def _request(self, space: SearchSpace) -> SearchRequest:
        folder = self.saved.folder / f"data-{space.image_size}"
        self.data.at_size(space.image_size).save(folder)
        return SearchRequest(
            space,
            folder,
            self.saved.folder / space.family,
            seed=self.options.seed,
            workers=self.process.workers,
            first_configs=self.options.first_configs.get(space.family, ()),
        )

    def _wait_for_delivery(self) -> None:
        if not self.delivery.flush(1.0):
            self.console.print("  waiting for the store")
        if not self.delivery.flush(STORE_WAIT_S):
            why = f" ({self.delivery.problem})" if self.delivery.problem else ""
            raise StoreUnavailableError(
                f"The store {self.store.location} has not answered for {STORE_WAIT_S / 60:.0f} minutes{why}; start "
                "it, then continue with --resume; all trials are kept."
            )

    def _register_winners(self, searched: Mapping[str, list[Trial]], steps: Steps) -> list[Winner]:
        """Register one winner per family; a family without one is reported and does not stop the others."""
        winners = []
        problem = None
        for space in self.options.spaces:
            try:
                winners.append(self._register_winner(space, searched[space.family], steps))
            except NoNetworkError as error:
                problem = error
                self.console.print(f"{space.family}: {error}", style="red", markup=False)
        if problem is not None and not winners:
            raise problem
        return winners

    def _register_winner(self, space: SearchSpace, trials: Sequence[Trial], steps: Steps) -> Winner:
        ended = self.saved.journal.find_first(Searched, family=space.family)
        moment = time.time() if ended is None else ended.time
        ranked = rank_trials(space, trials)
        if not ranked:
            reason = next((trial.error for trial in trials if trial.error), "no trial finished an epoch")
            raise NoNetworkError(
                f"No trial of {space.family} produced a network ({reason}); give it more time, or fix its search file."
            )
        store_all = self.options.checkpoints != "none"
        steps.begin(f"package of {ranked[0].name}, with its explanations")
        run, package = self._package_trial(space, ranked[0], at=moment)
        by_plate = self._judge_by_plates(space, ranked[0], run, package, steps, at=moment)
        uri = self._log_networks(space, ranked[0], run, package, last=store_all)
        for trial in ranked[1 : space.keep]:
            steps.begin(f"package of {trial.name}, with its explanations")
            other, packaged = self._package_trial(space, trial, at=moment)
            if store_all:
                self._log_networks(space, trial, other, packaged)
            else:
                self._write_note(space, trial, other, stored_sentence([]))
        steps.begin(f"test, registration and pictures of {space.family}")
        data, name = self.data.at_size(space.image_size), f"{self.options.line}-{space.family}"
        if (unserved := run.tags().get(NO_WHEEL)) is not None:
            self.console.print(unserved, style="bold", markup=False)
        winner = evaluate_and_register(
            self.store, run, package, uri, name, data, self.data.at_size, at=moment, judge_by=self.options.judge_by
        )
        return replace(winner, trial=ranked[0].name, by_plate=by_plate)

    def _judge_by_plates(
        self, space: SearchSpace, trial: Trial, run: Run, package: ModelPackage, steps: Steps, *, at: float
    ) -> dict[str, float]:
        """Train the winner's configuration without each plate; its predictions become part of its package.

        A search that was interrupted finds them in its folder. A configuration that can't be trained so is reported,
        and registered without them.
        """
        if self.options.judge_by != "plate" or package.model.task != "classify":
            return {}
        data, file = self.data.at_size(space.image_size), self.saved.folder / f"{space.family}-left-out.safetensors"
        if file.exists():
            arrays = read_arrays(file)
        else:
            try:
                arrays = self._train_without_plates(space, trial, data, steps).to_arrays()
            except LeighError as error:
                self.console.print(f"{trial.name} is not judged by plate: {error}", style="bold", markup=False)
                return {}
            write_arrays(file, arrays)
        package.arrays |= arrays
        left_out = LeftOut.from_arrays(arrays)
        scores = {} if left_out is None else left_out.scores(data)
        run.log_metrics({f"val/{name}": value for name, value in scores.items()}, at=at)
        return scores

    def _train_without_plates(self, space: SearchSpace, trial: Trial, data: PreparedData, steps: Steps) -> LeftOut:
        return score_network_by_plate(
            space.family,
            TrainingSettings.from_flat(trial.config),
            data,
            metric=space.metric,
            mode=space.mode,
            seed=self.options.seed,
            report=lambda plate: steps.begin(f"{trial.name} trained without plate {plate}"),
        )

    def _log_networks(
        self, space: SearchSpace, trial: Trial, run: Run, package: ModelPackage, *, last: bool = True
    ) -> str:
        """Log the networks of a trial's best epoch and of its last one, once; return the address of the best."""
        data, settings = self.data.at_size(space.image_size), TrainingSettings.from_flat(trial.config)
        address = log_package(self.store, run, package, data, step=kept_step(self._epochs(trial)))
        stored = [(BEST_MODEL, trial.best_epoch)]
        if last and len(trial.epochs) != trial.best_epoch:
            model, _, epoch = load_trained_network(
                space.family, settings, data, Path(trial.checkpoint or ""), last=True
            )
            log_package(self.store, run, checkpoint_package(package, model), data, LAST_MODEL, step=epoch)
            stored.append((LAST_MODEL, epoch))
        self._write_note(space, trial, run, stored_sentence(stored))
        return address

    def _write_note(self, space: SearchSpace, trial: Trial, run: Run, sentence: str) -> None:
        ended = self.saved.journal.find_first(Ended, family=trial.family, number=trial.number)
        if ended is not None:
            latest = self._epochs(trial)[-1]
            run.set_note(ended_note(dict(space), self.facts["data"], latest, ended, [sentence]))

    def _epochs(self, trial: Trial) -> list[EpochDone]:
        epochs = [event for event in self.saved.journal.events if isinstance(event, EpochDone)]
        return [event for event in epochs if event.trial_name == trial.name]

    def _package_trial(self, space: SearchSpace, trial: Trial, *, at: float) -> tuple[Run, ModelPackage]:
        """Package a trial, and log its pictures and the scores of its counterfactuals at one time."""
        run = self.delivery.run(trial.name)
        data, settings = self.data.at_size(space.image_size), TrainingSettings.from_flat(trial.config)
        model, scale, epoch = load_trained_network(space.family, settings, data, Path(trial.checkpoint or ""))
        about = {"run": run.id, "best_epoch": epoch, "val": trial.best, "seed": self.options.seed, "git": revision()}
        source = self.options.source
        about |= {"exclude": list(source.excluded_flaws), "train_on_compounds": source.train_on_compounds}
        about |= {"beta": settings.loss_weight, "data": self.facts["data"]}
        if is_adapted(space.family, settings, data):
            about["adaptation"] = "controls"
        baselines = self.data.baselines_for_size(space.image_size)
        references = self.data.references(space.image_size, scale) if needs_references(model) else None
        package = make_package(model, scale, data, baselines, about, [*data.starts.values()], references)
        scores, step = counterfactual_scores(package, data), kept_step(self._epochs(trial))
        run.log_metrics({f"val/counterfactual/{name}": score for name, score in scores.items()}, step, at=at)
        log_trial_pictures(run, package, data, trial.epochs, kept=epoch, at=at)
        return run, package
