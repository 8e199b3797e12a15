"""The main job: searches over prepared data, whose winners are tested, registered and compared with the baseline."""

import functools
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from leigh_mlops.errors import LeighError
from leigh_mlops.models import ModelPackage
from leigh_mlops.plates.columns import Metadata
from leigh_mlops.report.sentences import format_count
from leigh_mlops.search import SearchProcess, SearchRequest
from leigh_mlops.settings import SearchSpace, TrainingSettings, parse_settings
from leigh_mlops.study.baselines import Baselines, fit_baselines, fit_latent_baseline
from leigh_mlops.study.console_summary import print_baseline, print_result, winner_lines
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.dry_run import show_plan
from leigh_mlops.study.interrupted import STOPPED_WAIT_S, close_interrupted, create_delivery, format_elapsed
from leigh_mlops.study.model_selection import Winner, evaluate_and_register, log_package, make_package
from leigh_mlops.study.prepare import (
    DataSource,
    DividedData,
    add_pixels,
    divided_table,
    measure_confounds,
    prepare_data,
)
from leigh_mlops.study.progress_board import ProgressBoard
from leigh_mlops.study.revision import revision
from leigh_mlops.study.run_artifacts import leaderboard_row, log_data, log_references, log_summary, rank_trials
from leigh_mlops.study.search_folder import SavedSearch, interrupted_searches, locked_search, new_search
from leigh_mlops.study.spaces import check_spaces, fetch_starting_weights, latent_size
from leigh_mlops.study.supervisor import Supervisor
from leigh_mlops.tracking import Run, Store, StoreUnavailableError, first_line
from leigh_mlops.training import PreparedData, build_network, initial_weight_digests, load_trained_network
from leigh_mlops.trials import Event, Journal, Trial, collect_trials

__all__ = ["SearchStudy", "resume_newest"]

STORE_WAIT_S = 600.0


class NoNetworkError(LeighError):
    """No trial gave a network; resuming the search would not help."""


@dataclass
class SearchStudy:
    """One search over several families.

    Attributes:
        source: Images and split.
        spaces: One search space per family.
        store: Address of the store; ``None`` for the embedded one.
        console: Console to print to.
        seed: Seed of trials; the split has its own in ``source``.
        time_budget_s: For all searches together; families share it by their ``time_share``.
        line: First part of the registered names.
        process: Search process, with its cluster and number of workers.
    """

    source: DataSource
    spaces: Sequence[SearchSpace]
    store: str | None
    console: Console
    seed: int = 0
    time_budget_s: float | None = None
    line: str = "leigh"
    process: SearchProcess = field(default_factory=SearchProcess)

    def run(self) -> list[Winner]:
        """Search, test, register, and print the result.

        Raises:
            LeighError: The data, the store or a search can't be used, or no family gave a network.
        """
        if not re.fullmatch(r"[\w.-]+", self.line):
            raise LeighError(f"--name {self.line!r} is no name; use letters, digits, '-', '_' and '.'.")
        divided = divided_table(self.source, self.console)
        check_spaces(self.spaces, len(divided[1]))
        self._tracking = Store.open(self.store, verbose=self.process.verbose)
        close_interrupted(self._tracking, self.console)
        with new_search() as saved, self.process:
            return self._search(saved, divided)

    def show(self) -> None:
        """Print what :meth:`run` would do, where, and for how long; a few batches are trained to estimate the time.

        Raises:
            LeighError: The data or a search can't be used.
        """
        divided = divided_table(self.source, self.console)
        check_spaces(self.spaces, len(divided[1]))
        data = prepare_data(self.source, *divided, self.spaces[0].image_size, self.console)
        self._sizes = {data.image_size: data}
        show_plan(
            self.spaces,
            self.at_size,
            self.console,
            workers=self.process.workers,
            address=self.process.address,
            time_budget_s=self.time_budget_s,
        )

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], console: Console, **here: Any) -> "SearchStudy":  # noqa: ANN401
        """Create a study from the values of :meth:`settings` and the arguments of this session."""
        source: dict[str, Any] = dict(settings["source"])
        source |= {key: Path(source[key]) for key in ("path", "platemap") if source[key]}
        spaces = [parse_settings(SearchSpace, space, space["family"]) for space in settings["spaces"]]
        kept = {key: settings[key] for key in ("seed", "time_budget_s", "line")}
        return cls(DataSource(**source), spaces, console=console, **kept, **here)

    def resume(self, folder: Path | None = None) -> list[Winner]:
        """Resume a search that did not finish.

        Args:
            folder: Folder of the search; by default that of the newest with these settings.

        Raises:
            LeighError: There is none, another process holds it, the images have changed, or as :meth:`run`.
        """
        divided = divided_table(self.source, self.console)
        self._tracking = Store.open(self.store, verbose=self.process.verbose)
        with locked_search(folder or self._find_interrupted()) as saved, self.process:
            return self._search(saved, divided)

    def _find_interrupted(self) -> Path:
        wanted = json.loads(json.dumps(self.settings()))
        for folder in reversed(interrupted_searches()):
            with locked_search(folder) as saved:
                if saved.opening_event is not None and saved.opening_event["study"] == wanted:
                    return folder
        raise LeighError(
            "No search that was begun with these options waits; --resume alone goes on with the newest, and without "
            "--resume a new one begins."
        )

    def settings(self) -> dict[str, Any]:
        """Settings that determine the result, as JSON values without passwords."""
        source = {
            key: str(value.absolute()) if isinstance(value, Path) else value for key, value in vars(self.source).items()
        }
        return {
            "source": source | {"exclude": list(self.source.excluded_flaws)},
            "spaces": [space.model_dump(mode="json") for space in self.spaces],
            "store": self._tracking.location,
            "seed": self.seed,
            "time_budget_s": self.time_budget_s,
            "line": self.line,
        }

    def _search(self, saved: SavedSearch, divided: DividedData) -> list[Winner]:
        supervisor = Supervisor(saved.journal, self.console, self.process)
        data = self._prepare_data(divided, saved.folder)
        parent = self._open_run(saved, data)
        with create_delivery(saved, self._tracking, parent) as delivery, self._tracking.monitor_system(parent):
            try:
                winners, rows = self._run_study(parent, data, saved, supervisor, delivery)
                parent.end()
            except BaseException as error:
                self._handle_interruption(saved, delivery, error)
                raise
        saved.remove()
        for reason in delivery.refused:
            self.console.print(f"Not delivered: {reason}", style="red", markup=False)
        where = self._tracking.location
        store = [] if self.store is None else ["--store", where if "://" in where else self.store]
        source = self.source.path
        print_result(self.console, rows, winners, data, self._confounds, where=where, store=store, source=source)
        return winners

    def _open_run(self, saved: SavedSearch, data: PreparedData) -> Run:
        """Start the search's run, or resume it if the images are unchanged."""
        facts = self._facts(data)
        if saved.opening_event is None:
            saved.journal.append("opened", study=self.settings(), facts=facts)
            return self._tracking.start(self._title, kind="search", search=saved.folder.name, **facts)
        for key, what in (("data_fingerprint", "images"), ("split_fingerprint", "split")):
            if saved.opening_event["facts"][key] != facts[key]:
                raise LeighError(
                    f"The {what} of {facts['data']} changed since the search {saved.folder.name} began; bring the old "
                    "state back, or begin a new search without --resume."
                )
        over = sum(event["what"] == "ended" for event in saved.journal.events)
        trials = sum(space.trials for space in self.spaces)
        self.console.print(
            f"Going on with the search that was begun {format_elapsed(saved.opening_event['time'])}: "
            f"{over} of {trials} trials are over."
        )
        saved.journal.append("resumed")
        parent = self._tracking.find_search_run(saved.folder.name)
        return parent or self._tracking.start(self._title, kind="search", search=saved.folder.name, **facts)

    def _handle_interruption(self, saved: SavedSearch, delivery: Delivery, error: BaseException) -> None:
        """Print how to resume; runs end as KILLED, or as FAILED where resuming would not help."""
        hopeless = isinstance(error, NoNetworkError)
        reason = "the search was stopped" if isinstance(error, KeyboardInterrupt) else first_line(error)
        saved.journal.append("paused", reason=reason, status="FAILED" if hopeless else "KILLED")
        delivered = delivery.flush(STOPPED_WAIT_S)
        if not delivered:
            self.console.print(f"{format_count(delivery.waiting, 'event')} wait for the store; --resume delivers them.")
        if hopeless and delivered:
            saved.remove()
        else:
            self.console.print("Go on with: python -m leigh_mlops.tune --resume")

    @property
    def _title(self) -> str:
        return f"search {', '.join(space.family for space in self.spaces)}"

    def _prepare_data(self, divided: DividedData, folder: Path) -> PreparedData:
        """Prepare the data, without validation and test wells that the starting weights have seen."""
        data = prepare_data(self.source, *divided, self.spaces[0].image_size, self.console)
        starts = fetch_starting_weights(self._tracking, self.spaces, folder)
        before = len(np.unique(data.wells[np.concatenate([data.rows("val"), data.rows("test")])]))
        data = replace(data.drop_seen_wells(*initial_weight_digests(starts.values())), starts=starts)
        left = [len(np.unique(data.wells[data.rows(part)])) for part in ("val", "test")]
        if sum(left) < before:
            self.console.print(
                f"{before - sum(left)} validation and test wells are left out: the starting weights have seen them."
            )
        if min(left) == 0:
            raise LeighError("The starting weights have seen every validation or test well; start from others.")
        self._sizes = {data.image_size: data}
        self._baselines: dict[int, Baselines] = {}
        for space in self.spaces:
            self._check_start(space)
        return data

    def _check_start(self, space: SearchSpace) -> None:
        """Fail early on starting weights that can't be loaded or do not fit, instead of in every trial."""
        settings = TrainingSettings.from_flat(space.published)
        if settings.init != "random":
            build_network(space.family, settings, self.at_size(space.image_size), self.seed)

    def at_size(self, image_size: int) -> PreparedData:
        """Return the study's data at another image size, with the same rows and split."""
        if image_size not in self._sizes:
            known = next(iter(self._sizes.values()))
            made = add_pixels(known.table, known.channels, known.classes, image_size, self.console, demo=known.demo)
            if known.controls is not None:
                made = made.scale_by_controls((made.table[Metadata.SPLIT] == "train").to_numpy(bool))
            self._sizes[image_size] = replace(made, starts=known.starts, group=known.group)
        return self._sizes[image_size]

    def baselines_for_size(self, image_size: int) -> Baselines:
        """Baselines fitted at the image size of a network."""
        if image_size not in self._baselines:
            self._baselines[image_size] = fit_baselines(self.at_size(image_size), self.seed)
        return self._baselines[image_size]

    def _run_study(
        self, parent: Run, data: PreparedData, saved: SavedSearch, supervisor: Supervisor, delivery: Delivery
    ) -> tuple[list[Winner], list[dict[str, Any]]]:
        beside = self.baselines_for_size(data.image_size).scores(data, data.rows("val"))
        self._confounds = measure_confounds(data)
        print_baseline(self.console, beside, self._confounds)
        begun = saved.opening_event["time"]  # type: ignore[index]
        log_data(parent, self.source, data, self.spaces, self._confounds, seed=self.seed, at=begun)
        beside |= self._latent_baseline()
        references = log_references(self._tracking, parent, beside, self._facts(data), at=begun)
        searched = self._search_all(saved, supervisor, delivery)
        self._wait_for_delivery(delivery)
        winners = self._finish_all(searched, saved.journal, delivery)
        trials = [trial for trials in searched.values() for trial in trials]
        rows = [leaderboard_row(trial, winners) for trial in trials] + references
        lines = [line for winner in winners for line in winner_lines(winner, data, self._confounds)]
        log_summary(parent, self.spaces, trials, rows, lines, self._facts(data))
        return winners, rows

    def _latent_baseline(self) -> dict[str, dict[str, float]]:
        """Scores of PCA, the baseline of an autoencoder."""
        for space in self.spaces:
            if space.family == "autoencoder":
                data = self.at_size(space.image_size)
                scale = data.scale(TrainingSettings.from_flat(space.published).intensity)
                return {"pca": {"mse": fit_latent_baseline(data, scale, latent_size(space, len(data.channels)))[1]}}
        return {}

    def _wait_for_delivery(self, delivery: Delivery) -> None:
        if not delivery.flush(1.0):
            self.console.print("  waiting for the store")
        if not delivery.flush(STORE_WAIT_S):
            why = f" ({delivery.problem})" if delivery.problem else ""
            raise StoreUnavailableError(
                f"The store {self._tracking.location} has not answered for {STORE_WAIT_S / 60:.0f} minutes{why}; start "
                "it, and go on with --resume: all trials are kept."
            )

    def _search_all(self, saved: SavedSearch, supervisor: Supervisor, delivery: Delivery) -> dict[str, list[Trial]]:
        """Search one family after another; return all trials by family."""
        left_s = None if self.time_budget_s is None else self.time_budget_s - saved.spent_s
        deadline = None if left_s is None else time.monotonic() + left_s
        searched = {}
        for number, space in enumerate(self.spaces):
            place = saved.folder / f"data-{space.image_size}"
            self.at_size(space.image_size).save(place)
            share = space.time_share / sum(later.time_share for later in self.spaces[number:])
            left = None if deadline is None else max(1.0, share * (deadline - time.monotonic()))
            request = SearchRequest(
                space,
                place,
                saved.folder / space.family,
                seed=self.seed,
                workers=self.process.workers,
                time_budget_s=left,
            )
            self._announce(space, left)
            known = collect_trials(saved.journal.events, space.family).values()
            with ProgressBoard(space, known, self.console) as board:
                searched[space.family] = supervisor.search(request, functools.partial(_forward_event, board, delivery))
        self.process.terminate()
        return searched

    def _announce(self, space: SearchSpace, left_s: float | None) -> None:
        budget = f", at most {left_s / 60:.1f} minutes" if left_s else ""
        epochs = TrainingSettings.from_flat(space.published).epochs
        self.console.print(
            f"[bold]{space.family}[/]: {format_count(space.trials, 'trial')} of {format_count(epochs, 'epoch')} "
            f"at {space.image_size} px{budget}"
        )

    def _finish_all(self, searched: Mapping[str, list[Trial]], journal: Journal, delivery: Delivery) -> list[Winner]:
        """Register one winner per family; a family without one is reported and does not stop the others."""
        winners = []
        problem = None
        for space in self.spaces:
            try:
                over = journal.find_first("searched", family=space.family)
                moment = time.time() if over is None else over["time"]
                winners.append(self._finish(space, searched[space.family], delivery, at=moment))
            except NoNetworkError as error:
                problem = error
                self.console.print(f"{space.family}: {error}", style="red", markup=False)
        if problem is not None and not winners:
            raise problem
        return winners

    def _finish(self, space: SearchSpace, trials: Sequence[Trial], delivery: Delivery, *, at: float) -> Winner:
        ranked = rank_trials(space, trials)
        if not ranked:
            reason = next((trial.error for trial in trials if trial.error), "no trial finished an epoch")
            raise NoNetworkError(
                f"No trial of {space.family} gave a network ({reason}); give it more time or mend its file."
            )
        kept = [self._package_trial(space, trial, delivery.run(trial.name)) for trial in ranked[: space.keep]]
        run, package, uri = kept[0]
        data = self.at_size(space.image_size)
        name = f"{self.line}-{space.family}"
        winner = evaluate_and_register(self._tracking, run, package, uri, name, data, self.at_size, at=at)
        return replace(winner, trial=ranked[0].name)

    def _package_trial(self, space: SearchSpace, trial: Trial, run: Run) -> tuple[Run, ModelPackage, str]:
        """Package a trial and log it once; return its run, package and address in the store."""
        data, settings = self.at_size(space.image_size), TrainingSettings.from_flat(trial.config)
        model, scale, epoch = load_trained_network(space.family, settings, data, Path(trial.checkpoint or ""))
        about = {"run": run.id, "best_epoch": epoch, "val": trial.best, "seed": self.seed, "git": revision()}
        about |= {"exclude": list(self.source.excluded_flaws), "beta": settings.beta}
        starts = [*data.starts.values()]
        package = make_package(model, scale, data, self.baselines_for_size(space.image_size), about, starts)
        return run, package, log_package(self._tracking, run, package)

    def _facts(self, data: PreparedData) -> dict[str, Any]:
        return {
            "demo": data.demo,
            "data": self.source.path.name if self.source.path else "demo",
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "git": revision(),
        }


def _forward_event(board: ProgressBoard, delivery: Delivery, event: Event) -> None:
    delivery.wake()
    board.update(event)


def resume_newest(console: Console, *, store: str | None = None, **here: Any) -> list[Winner]:  # noqa: ANN401
    """Resume the newest search that did not finish.

    Args:
        console: Console to print to.
        store: Address of its store, where it can't be read from the search because it holds a password.
        here: ``process`` of :class:`SearchStudy`.

    Raises:
        LeighError: There is none, or as :meth:`SearchStudy.resume`.
    """
    dead = interrupted_searches()
    if not dead:
        raise LeighError("No search waits to be gone on with; begin one without --resume.")
    with locked_search(dead[-1]) as saved:
        settings = dict(saved.opening_event or {})["study"]
    if store is None:
        store = settings["store"] if "://" in settings["store"] else f"sqlite:///{settings['store']}"
    if "…" in store:
        raise LeighError(f"The search's store {store} needs its password again; give it with --store.")
    return SearchStudy.from_settings(settings, console, store=store, **here).resume(dead[-1])
