"""The main job: searches over prepared data, whose winners are tested, registered and compared with the baseline."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from leigh_mlops import __version__
from leigh_mlops.command_line import command_line
from leigh_mlops.errors import LeighError
from leigh_mlops.events import DataFacts, Ended, Opened, Paused, Resumed
from leigh_mlops.models.device import default_device
from leigh_mlops.search import SearchProcess
from leigh_mlops.settings import TrainingSettings
from leigh_mlops.study.console_summary import (
    print_omitted_families,
    print_place,
    print_plan,
    print_result,
    print_resumed,
    print_storage,
    print_undelivered,
)
from leigh_mlops.study.delivery import Delivery
from leigh_mlops.study.dry_run import count_processors, plan_families
from leigh_mlops.study.interrupted import STOPPED_WAIT_S, close_interrupted, create_delivery
from leigh_mlops.study.model_selection import Winner
from leigh_mlops.study.open_search import NoNetworkError, OpenSearch, SearchResult
from leigh_mlops.study.prepare import DividedData, class_names, divide_data, find_data, prepare_data
from leigh_mlops.study.search_folder import SavedSearch, interrupted_searches, locked_search, new_search, state_folder
from leigh_mlops.study.search_priors import find_first_configs
from leigh_mlops.study.spaces import check_spaces, choose_precisions, fetch_starting_weights, resolve_start
from leigh_mlops.study.study_data import StudyData
from leigh_mlops.study.study_options import StudyOptions
from leigh_mlops.tracking import Store, first_line
from leigh_mlops.training import PreparedData, build_network, initial_weight_digests

__all__ = ["SearchStudy", "resume_newest"]


@dataclass(frozen=True)
class SearchStudy:
    """One search over several families.

    Attributes:
        options: Options that determine the result.
        console: Console to print to.
        store: Address of the store; ``None`` for the embedded one.
        process: Search process, with its cluster and number of workers.
        sign_key: Private key that signs the networks that are stored.
        prior: Earlier search with whose best settings a new one begins, see :func:`find_first_configs`; empty for none.
    """

    options: StudyOptions
    console: Console
    store: str | None = None
    process: SearchProcess = field(default_factory=SearchProcess)
    sign_key: Path | None = None
    prior: str = ""

    def run(self) -> list[Winner]:
        """Search, test, register, and print the result.

        Raises:
            LeighError: The data, the store or a search can't be used, or no family gave a network.
        """
        self.options.check_line()
        self.options.check_checkpoints()
        study, divided = self._divide()
        study._check_data(divided)
        store = self._open_store()
        close_interrupted(store, self.console)
        with new_search() as saved, self.process:
            return study._search(saved, store, divided)

    def show(self) -> None:
        """Print what :meth:`run` would do, where, and for how long; a few batches are trained to estimate the time.

        Raises:
            LeighError: The data or a search can't be used.
        """
        self.options.check_line()
        self.options.check_checkpoints()
        study, divided = self._divide()
        study._check_data(divided)
        options = study.options
        data = study._read_pixels(divided)
        if self.prior:
            study._with_prior(study._open_store(), data)  # named, or refused
        print_place(self.console, self.process.address, *count_processors())
        plans = plan_families(options.spaces, StudyData(data, self.console, options.seed).at_size, self.process.workers)
        print_plan(self.console, plans, options.time_budget_s)
        print_storage(self.console, plans, options.checkpoints, state_folder())

    def resume(self, folder: Path | None = None) -> list[Winner]:
        """Resume a search that did not finish.

        Args:
            folder: Folder of the search; by default that of the newest with these options.

        Raises:
            LeighError: There is none, another process holds it, the images have changed, or as :meth:`run`.
        """
        study, divided = self._divide()
        store = self._open_store()
        with locked_search(folder or study._find_interrupted(store)) as saved, self.process:
            opened = saved.opening_event
            first = opened.study.get("first_configs", {}) if opened else {}
            study = replace(study, options=replace(study.options, first_configs=first), prior="")
            return study._search(saved, store, divided)

    def _open_store(self) -> Store:
        return Store.open(self.store, verbose=self.process.verbose, sign_key=self.sign_key)

    def _divide(self) -> tuple["SearchStudy", DividedData]:
        """Find the images and divide their wells; the study has the families that can learn from them."""
        source = self.options.source
        found = find_data(source, self.console)
        options = self.options.for_classes(class_names(found[0], source))
        print_omitted_families(self.console, self.options.spaces, options.spaces)
        # After families that the images do not suit are left out, since weights may take long to fetch.
        spaces = [resolve_start(space, self.console) for space in options.spaces]
        on_cluster = self.process.address is not None
        options = replace(options, spaces=choose_precisions(spaces, self.console, on_cluster=on_cluster))
        divided = divide_data(found, source, self.console, needs_labels=options.needs_labels)
        return replace(self, options=options), divided

    def _check_data(self, divided: DividedData) -> None:
        self.options.check_judge(divided[0])
        check_spaces(self.options.spaces, len(divided[1]))

    def _read_pixels(self, divided: DividedData) -> PreparedData:
        options = self.options
        size, needs_labels = options.spaces[0].image_size, options.needs_labels
        return prepare_data(options.source, *divided, size, self.console, needs_labels=needs_labels)

    def _find_interrupted(self, store: Store) -> Path:
        requested = self.options.to_settings(store.location)
        for folder, opened in reversed(interrupted_searches().items()):
            if {key: value for key, value in opened.study.items() if key != "first_configs"} == requested:
                return folder
        raise LeighError(
            "There is no interrupted search with these options; pass --resume alone to continue the newest, or "
            "leave it out to begin a new one."
        )

    def _search(self, saved: SavedSearch, store: Store, divided: DividedData) -> list[Winner]:
        default_device()  # a GPU that can't be used is refused now, and not when the winners are tested
        data = self._prepare_data(divided, store, saved.folder)
        return self._with_prior(store, data.data)._search_prepared(saved, store, data)

    def _with_prior(self, store: Store, data: PreparedData) -> "SearchStudy":
        """Return the study that begins with the settings of earlier searches, if they are asked for."""
        if not self.prior:
            return self
        about = {"classes": data.classes, "channels": data.channels, **self.options.facts(data)}
        first = find_first_configs(store, self.prior, self.options.spaces, about, self.console)
        return replace(self, options=replace(self.options, first_configs=first))

    def _search_prepared(self, saved: SavedSearch, store: Store, data: StudyData) -> list[Winner]:
        facts = self.options.facts(data.data)
        opened = self._open_or_resume(saved, store, facts)
        name = saved.folder.name
        parent = store.find_search_run(name) or store.start(
            self.options.title, note=self.options.note(facts), kind="search", search=name, **facts
        )
        with create_delivery(saved, opened, store, parent) as delivery, store.monitor_system(parent):
            search = OpenSearch(
                self.options, data, facts, store, saved, opened, parent, delivery, self.process, self.console
            )
            try:
                result = search.run()
                parent.end()
            except BaseException as error:
                self._handle_interruption(saved, delivery, error)
                raise
        saved.remove()
        for reason in delivery.refused:
            self.console.print(f"Not delivered: {reason}", style="red", markup=False)
        self._print_result(result, data.data, store)
        return list(result.winners)

    def _prepare_data(self, divided: DividedData, store: Store, folder: Path) -> StudyData:
        """Prepare the data, without validation and test wells that the starting weights have seen."""
        options = self.options
        data = self._read_pixels(divided)
        starts = fetch_starting_weights(store, options.spaces, folder)
        before = len(np.unique(data.wells[np.concatenate([data.rows("val"), data.rows("test")])]))
        data = replace(data.drop_seen_wells(*initial_weight_digests(starts.values())), starts=starts)
        left = [len(np.unique(data.wells[data.rows(part)])) for part in ("val", "test")]
        if sum(left) < before:
            self.console.print(
                f"{before - sum(left)} validation and test wells are left out: the starting weights have seen them."
            )
        if min(left) == 0:
            raise LeighError("The starting weights have seen every validation or test well; start from others.")
        prepared = StudyData(data, self.console, options.seed)
        self._check_starts(prepared)
        return prepared

    def _check_starts(self, data: StudyData) -> None:
        """Fail early on starting weights that can't be loaded or do not fit, instead of in every trial."""
        for space in self.options.spaces:
            settings = TrainingSettings.from_flat(space.published)
            if settings.init != "random":
                build_network(space.family, settings, data.at_size(space.image_size), self.options.seed)

    def _open_or_resume(self, saved: SavedSearch, store: Store, facts: DataFacts) -> Opened:
        """Open the search in its journal, or resume it if the images are unchanged."""
        opened = saved.opening_event
        if opened is None:
            opened = Opened(self.options.to_settings(store.location), facts, __version__)
            saved.journal.append(opened)
            return opened
        unchanged = {
            "images": opened.facts["data_fingerprint"] == facts["data_fingerprint"],
            "split": opened.facts["split_fingerprint"] == facts["split_fingerprint"],
        }
        for part, is_same in unchanged.items():
            if not is_same:
                raise LeighError(
                    f"The {part} of {facts['data']} changed since the search {saved.folder.name} began; restore "
                    "the old state, or begin a new search without --resume."
                )
        ended = sum(isinstance(event, Ended) for event in saved.journal.events)
        print_resumed(self.console, opened, ended, sum(space.trials for space in self.options.spaces))
        saved.journal.append(Resumed())
        return opened

    def _handle_interruption(self, saved: SavedSearch, delivery: Delivery, error: BaseException) -> None:
        """Print how to resume; runs end as KILLED, or as FAILED where resuming would not help."""
        hopeless = isinstance(error, NoNetworkError)
        reason = "the search was stopped" if isinstance(error, KeyboardInterrupt) else first_line(error)
        saved.journal.append(Paused(reason, "FAILED" if hopeless else "KILLED"))
        delivered = delivery.flush(STOPPED_WAIT_S)
        if not delivered:
            print_undelivered(self.console, delivery.waiting)
        if hopeless and delivered:
            saved.remove()
        else:
            self.console.print(f"Continue with: {command_line('tune', '--resume')}", markup=False)

    def _print_result(self, result: SearchResult, data: PreparedData, store: Store) -> None:
        print_result(
            self.console,
            result.rows,
            result.winners,
            data,
            result.confounds,
            where=store.location,
            store=store.typed_options(self.store),
            source=self.options.source.path,
        )


def resume_newest(
    console: Console,
    *,
    store: str | None = None,
    process: SearchProcess | None = None,
    sign_key: Path | None = None,
) -> list[Winner]:
    """Resume the newest search that did not finish.

    Args:
        console: Console to print to.
        store: Address of its store, where it can't be read from the search because it holds a password.
        process: Search process.
        sign_key: Private key that signs the networks that are stored.

    Raises:
        LeighError: There is none, or as :meth:`SearchStudy.resume`.
    """
    interrupted = list(interrupted_searches().items())
    if not interrupted:
        raise LeighError("There is no interrupted search to resume; begin one without --resume.")
    folder, opened = interrupted[-1]
    location = opened.study["store"]
    if store is None:
        store = location if "://" in location else f"sqlite:///{location}"
    if "…" in store:
        raise LeighError(f"The search's store {store} needs its password again; give its address with --store.")
    options = StudyOptions.from_settings(opened.study)
    study = SearchStudy(options, console, store, process or SearchProcess(), sign_key)
    return study.resume(folder)
