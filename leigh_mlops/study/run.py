"""The main job: searches over prepared data, winners tested, registered and shown beside the baseline."""

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
from leigh_mlops.report.words import counted
from leigh_mlops.search import SearchProcess, SearchRequest
from leigh_mlops.settings import SearchSpace, TrainingSettings, parse_settings
from leigh_mlops.study.baselines import Baselines, fit_baselines, fit_latent_baseline
from leigh_mlops.study.board import Board
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.dry_run import show_plan
from leigh_mlops.study.finalists import Winner, crown, log_package, make_package
from leigh_mlops.study.prepare import DataSource, Divided, confounds_of, divided_table, prepare, with_cache
from leigh_mlops.study.records import log_data, log_references, log_summary, ranking, record_of
from leigh_mlops.study.revision import revision
from leigh_mlops.study.said import say_baseline, say_result, winner_lines
from leigh_mlops.study.saved import SavedSearch, dead_searches, held_search, new_search
from leigh_mlops.study.spaces import check_spaces, latent_size, local_starts
from leigh_mlops.study.supervisor import Supervisor
from leigh_mlops.study.unfinished import STOPPED_WAIT_S, ago, close_dead, delivery_of
from leigh_mlops.tracking import Run, Store, StoreAwayError, first_line
from leigh_mlops.training import PreparedData, build_network, digests_of_starts, trained_network
from leigh_mlops.trials import Event, Journal, Trial, trials_of

__all__ = ["Study", "resume_newest"]

STORE_WAIT_S = 600.0


class NoNetworkError(LeighError):
    """No trial gave a network: going on with the search would not help."""


@dataclass
class Study:
    """One search over several families.

    Attributes:
        source: Images and split.
        spaces: One search space per family.
        store: Address of the store; ``None`` for the embedded one.
        console: Where words go.
        seed: Of trials; the split has its own in ``source``.
        time_budget_s: For all searches together; families share it by their ``time_share``.
        line: First part of the registered names.
        process: What searches: on which cluster, and with how many workers.
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
        """Search, test, register, and say what came out.

        Raises:
            LeighError: The data, the store or a search can't be used, or no family gave a network.
        """
        if not re.fullmatch(r"[\w.-]+", self.line):
            raise LeighError(f"--name {self.line!r} is no name; use letters, digits, '-', '_' and '.'.")
        divided = divided_table(self.source, self.console)
        check_spaces(self.spaces, len(divided[1]))
        self._tracking = Store.open(self.store, verbose=self.process.verbose)
        close_dead(self._tracking, self.console)
        with new_search() as saved, self.process:
            return self._search(saved, divided)

    def show(self) -> None:
        """Say what :meth:`run` would do, where, and for how long; a few batches are trained to know the last.

        Raises:
            LeighError: The data or a search can't be used.
        """
        divided = divided_table(self.source, self.console)
        check_spaces(self.spaces, len(divided[1]))
        data = prepare(self.source, *divided, self.spaces[0].image_size, self.console)
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
    def from_settings(cls, settings: Mapping[str, Any], console: Console, **here: Any) -> "Study":  # noqa: ANN401
        """A study from what :meth:`settings` gave, with what belongs to this place and moment."""
        source: dict[str, Any] = dict(settings["source"])
        source |= {key: Path(source[key]) for key in ("path", "platemap") if source[key]}
        spaces = [parse_settings(SearchSpace, space, space["family"]) for space in settings["spaces"]]
        kept = {key: settings[key] for key in ("seed", "time_budget_s", "line")}
        return cls(DataSource(**source), spaces, console=console, **kept, **here)

    def resume(self, folder: Path | None = None) -> list[Winner]:
        """Go on with a search that did not reach its end.

        Args:
            folder: The search's; by default that of the newest with these settings.

        Raises:
            LeighError: There is none, another process holds it, the images have changed, or as :meth:`run`.
        """
        divided = divided_table(self.source, self.console)
        self._tracking = Store.open(self.store, verbose=self.process.verbose)
        with held_search(folder or self._begun()) as saved, self.process:
            return self._search(saved, divided)

    def _begun(self) -> Path:
        wanted = json.loads(json.dumps(self.settings()))
        for folder in reversed(dead_searches()):
            with held_search(folder) as saved:
                if saved.opened is not None and saved.opened["study"] == wanted:
                    return folder
        raise LeighError(
            "No search that was begun with these options waits; --resume alone goes on with the newest, and without "
            "--resume a new one begins."
        )

    def settings(self) -> dict[str, Any]:
        """What decides on the result, as JSON takes it; passwords are left out."""
        source = {
            key: str(value.absolute()) if isinstance(value, Path) else value for key, value in vars(self.source).items()
        }
        return {
            "source": source | {"exclude": list(self.source.rule)},
            "spaces": [space.model_dump(mode="json") for space in self.spaces],
            "store": self._tracking.words,
            "seed": self.seed,
            "time_budget_s": self.time_budget_s,
            "line": self.line,
        }

    def _search(self, saved: SavedSearch, divided: Divided) -> list[Winner]:
        supervisor = Supervisor(saved.journal, self.console, self.process)
        data = self._prepared(divided, saved.folder)
        parent = self._opened(saved, data)
        with delivery_of(saved, self._tracking, parent) as delivery, self._tracking.monitored(parent):
            try:
                winners, rows = self._study(parent, data, saved, supervisor, delivery)
                parent.end()
            except BaseException as error:
                self._interrupted(saved, delivery, error)
                raise
        saved.remove()
        for reason in delivery.refused:
            self.console.print(f"Not delivered: {reason}", style="red", markup=False)
        where = self._tracking.words
        store = [] if self.store is None else ["--store", where if "://" in where else self.store]
        source = self.source.path
        say_result(self.console, rows, winners, data, self._confounds, where=where, store=store, source=source)
        return winners

    def _opened(self, saved: SavedSearch, data: PreparedData) -> Run:
        """The search's run: begun, or gone on with where the images are the same."""
        facts = self._facts(data)
        if saved.opened is None:
            saved.journal.append("opened", study=self.settings(), facts=facts)
            return self._tracking.start(self._title, kind="search", search=saved.folder.name, **facts)
        for key, what in (("data_fingerprint", "images"), ("split_fingerprint", "split")):
            if saved.opened["facts"][key] != facts[key]:
                raise LeighError(
                    f"The {what} of {facts['data']} changed since the search {saved.folder.name} began; bring the old "
                    "state back, or begin a new search without --resume."
                )
        over = sum(event["what"] == "ended" for event in saved.journal.events)
        trials = sum(space.trials for space in self.spaces)
        self.console.print(
            f"Going on with the search that was begun {ago(saved.opened['time'])}: {over} of {trials} trials are over."
        )
        saved.journal.append("resumed")
        parent = self._tracking.search_run(saved.folder.name)
        return parent or self._tracking.start(self._title, kind="search", search=saved.folder.name, **facts)

    def _interrupted(self, saved: SavedSearch, delivery: Delivery, error: BaseException) -> None:
        """Say how to go on; runs end as KILLED, or as FAILED where nothing is to be gone on with."""
        hopeless = isinstance(error, NoNetworkError)
        reason = "the search was stopped" if isinstance(error, KeyboardInterrupt) else first_line(error)
        saved.journal.append("paused", reason=reason, status="FAILED" if hopeless else "KILLED")
        delivered = delivery.flush(STOPPED_WAIT_S)
        if not delivered:
            self.console.print(f"{counted(delivery.waiting, 'event')} wait for the store; --resume delivers them.")
        if hopeless and delivered:
            saved.remove()
        else:
            self.console.print("Go on with: python -m leigh_mlops.tune --resume")

    @property
    def _title(self) -> str:
        return f"search {', '.join(space.family for space in self.spaces)}"

    def _prepared(self, divided: Divided, folder: Path) -> PreparedData:
        """Images, without those validation and test wells that the starting weights have seen."""
        data = prepare(self.source, *divided, self.spaces[0].image_size, self.console)
        starts = local_starts(self._tracking, self.spaces, folder)
        before = len(np.unique(data.wells[np.concatenate([data.rows("val"), data.rows("test")])]))
        data = replace(data.without_wells_seen_by(*digests_of_starts(starts.values())), starts=starts)
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
        """Weights that can't be had or do not fit are found here, not in every trial."""
        settings = TrainingSettings.from_flat(space.published)
        if settings.init != "random":
            build_network(space.family, settings, self.at_size(space.image_size), self.seed)

    def at_size(self, image_size: int) -> PreparedData:
        """The study's data at another image size, the same rows and the same split."""
        if image_size not in self._sizes:
            known = next(iter(self._sizes.values()))
            made = with_cache(known.table, known.channels, known.classes, image_size, self.console, demo=known.demo)
            if known.controls is not None:
                made = made.scaled_by_controls((made.table["Metadata_Split"] == "train").to_numpy(bool))
            self._sizes[image_size] = replace(made, starts=known.starts, group=known.group)
        return self._sizes[image_size]

    def baselines_at(self, image_size: int) -> Baselines:
        """Baselines that saw the images at the size at which a network sees them."""
        if image_size not in self._baselines:
            self._baselines[image_size] = fit_baselines(self.at_size(image_size), self.seed)
        return self._baselines[image_size]

    def _study(
        self, parent: Run, data: PreparedData, saved: SavedSearch, supervisor: Supervisor, delivery: Delivery
    ) -> tuple[list[Winner], list[dict[str, Any]]]:
        beside = self.baselines_at(data.image_size).scores(data, data.rows("val"))
        self._confounds = confounds_of(data)
        say_baseline(self.console, beside, self._confounds)
        begun = saved.opened["time"]  # type: ignore[index]
        log_data(parent, self.source, data, self.spaces, self._confounds, seed=self.seed, at=begun)
        beside |= self._latent_baseline()
        references = log_references(self._tracking, parent, beside, self._facts(data), at=begun)
        searched = self._search_all(saved, supervisor, delivery)
        self._delivered(delivery)
        winners = self._finish_all(searched, saved.journal, delivery)
        trials = [trial for trials in searched.values() for trial in trials]
        rows = [record_of(trial, winners) for trial in trials] + references
        lines = [line for winner in winners for line in winner_lines(winner, data, self._confounds)]
        log_summary(parent, self.spaces, trials, rows, lines, self._facts(data))
        return winners, rows

    def _latent_baseline(self) -> dict[str, dict[str, float]]:
        """PCA, beside which an autoencoder stands."""
        for space in self.spaces:
            if space.family == "autoencoder":
                data = self.at_size(space.image_size)
                scale = data.scale(TrainingSettings.from_flat(space.published).intensity)
                return {"pca": {"mse": fit_latent_baseline(data, scale, latent_size(space, len(data.channels)))[1]}}
        return {}

    def _delivered(self, delivery: Delivery) -> None:
        if not delivery.flush(1.0):
            self.console.print("  waiting for the store")
        if not delivery.flush(STORE_WAIT_S):
            why = f" ({delivery.problem})" if delivery.problem else ""
            raise StoreAwayError(
                f"The store {self._tracking.words} has not answered for {STORE_WAIT_S / 60:.0f} minutes{why}; start "
                "it, and go on with --resume: all trials are kept."
            )

    def _search_all(self, saved: SavedSearch, supervisor: Supervisor, delivery: Delivery) -> dict[str, list[Trial]]:
        """All trials by family, searched one family after another."""
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
            known = trials_of(saved.journal.events, space.family).values()
            with Board(space, known, self.console) as board:
                searched[space.family] = supervisor.search(request, functools.partial(_hear, board, delivery))
        self.process.end()
        return searched

    def _announce(self, space: SearchSpace, left_s: float | None) -> None:
        budget = f", at most {left_s / 60:.1f} minutes" if left_s else ""
        epochs = TrainingSettings.from_flat(space.published).epochs
        self.console.print(
            f"[bold]{space.family}[/]: {counted(space.trials, 'trial')} of {counted(epochs, 'epoch')} "
            f"at {space.image_size} px{budget}"
        )

    def _finish_all(self, searched: Mapping[str, list[Trial]], journal: Journal, delivery: Delivery) -> list[Winner]:
        """One winner per family; a family without one is said and does not take the others with it."""
        winners = []
        problem = None
        for space in self.spaces:
            try:
                over = journal.first("searched", family=space.family)
                moment = time.time() if over is None else over["time"]
                winners.append(self._finish(space, searched[space.family], delivery, at=moment))
            except NoNetworkError as error:
                problem = error
                self.console.print(f"{space.family}: {error}", style="red", markup=False)
        if problem is not None and not winners:
            raise problem
        return winners

    def _finish(self, space: SearchSpace, trials: Sequence[Trial], delivery: Delivery, *, at: float) -> Winner:
        ranked = ranking(space, trials)
        if not ranked:
            reason = next((trial.error for trial in trials if trial.error), "no trial finished an epoch")
            raise NoNetworkError(
                f"No trial of {space.family} gave a network ({reason}); give it more time or mend its file."
            )
        kept = [self._kept(space, trial, delivery.run(trial.name)) for trial in ranked[: space.keep]]
        run, package, uri = kept[0]
        data = self.at_size(space.image_size)
        name = f"{self.line}-{space.family}"
        winner = crown(self._tracking, run, package, uri, name, data, self.at_size, at=at)
        return replace(winner, trial=ranked[0].name)

    def _kept(self, space: SearchSpace, trial: Trial, run: Run) -> tuple[Run, ModelPackage, str]:
        """A trial's package and its address in the store, where it is put but once."""
        data, settings = self.at_size(space.image_size), TrainingSettings.from_flat(trial.config)
        model, scale, epoch = trained_network(space.family, settings, data, Path(trial.checkpoint or ""))
        about = {"run": run.id, "best_epoch": epoch, "val": trial.best, "seed": self.seed, "git": revision()}
        about |= {"exclude": list(self.source.rule), "beta": settings.beta}
        starts = [*data.starts.values()]
        package = make_package(model, scale, data, self.baselines_at(space.image_size), about, starts)
        return run, package, log_package(self._tracking, run, package)

    def _facts(self, data: PreparedData) -> dict[str, Any]:
        return {
            "demo": data.demo,
            "data": self.source.path.name if self.source.path else "demo",
            "data_fingerprint": data.fingerprint,
            "split_fingerprint": data.split_fingerprint,
            "git": revision(),
        }


def _hear(board: Board, delivery: Delivery, event: Event) -> None:
    delivery.wake()
    board.hear(event)


def resume_newest(console: Console, *, store: str | None = None, **here: Any) -> list[Winner]:  # noqa: ANN401
    """Go on with the newest search that did not reach its end.

    Args:
        console: Where words go.
        store: Address of its store, where it can't be read from the search because it holds a password.
        here: ``process`` of :class:`Study`.

    Raises:
        LeighError: There is none, or as :meth:`Study.resume`.
    """
    dead = dead_searches()
    if not dead:
        raise LeighError("No search waits to be gone on with; begin one without --resume.")
    with held_search(dead[-1]) as saved:
        settings = dict(saved.opened or {})["study"]
    if store is None:
        store = settings["store"] if "://" in settings["store"] else f"sqlite:///{settings['store']}"
    if "…" in store:
        raise LeighError(f"The search's store {store} needs its password again; give it with --store.")
    return Study.from_settings(settings, console, store=store, **here).resume(dead[-1])
