"""Registered models: packages, versions, aliases."""

import re
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import numpy.typing as npt
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from leigh_mlops.errors import LeighError, is_disk_full
from leigh_mlops.tracking.artifact_source import find_source
from leigh_mlops.tracking.package_seal import SEAL, load_signer, require_seal
from leigh_mlops.tracking.package_wheel import build_wheel
from leigh_mlops.tracking.runs import Run, tag_texts
from leigh_mlops.tracking.secrets import one_line
from leigh_mlops.tracking.store_errors import NoVersionError, translate_store_errors

if TYPE_CHECKING:
    from leigh_mlops.models import ModelPackage

__all__ = ["BEST_MODEL", "CHALLENGER", "CHAMPION", "LAST_MODEL", "NO_WHEEL", "Checkpoint", "Registry", "Version"]

CHAMPION, CHALLENGER = "champion", "challenger"
NO_WHEEL = "serving"
"""Tag of a run: why no wheel of the code travels with its model."""
DIGEST = "digest"
"""Tag of a logged model and of a version: digest of the files of its package."""
_ARTIFACTS = "artifacts"  # folder to which MLflow copies artifacts
_MOST_CHARACTERS = 5000  # of a description that a database takes

BEST_MODEL, LAST_MODEL = "model", "last"
"""Names of the MLflow models of a run: the network of its best epoch, and that of its last one."""

_LOGGED = re.compile("models:/m-[0-9a-f]{32}")
"""Address of an MLflow model without a registered name."""


@dataclass(frozen=True)
class Version:
    """One version of a registered model."""

    name: str
    version: int
    run_id: str
    tags: dict[str, str]

    @property
    def uri(self) -> str:
        """Address ``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class Checkpoint:
    """Network of one epoch of a run, an MLflow model that needs no registered name.

    Attributes:
        uri: Address ``models:/m-…``.
    """

    uri: str


class Registry:
    """The registered models of a store.

    Attributes:
        client: MLflow client.
        experiment_id: Experiment of the logged models.
        sign_key: Private key that signs each package that is logged; None for no signatures.
        trusted_key: Public key without whose signature no package is downloaded; None to require none.
    """

    client: MlflowClient
    experiment_id: str
    sign_key: Path | None = None
    trusted_key: Path | None = None

    def log_package(
        self,
        run: Run,
        package: "ModelPackage",
        example: npt.NDArray[np.float32],
        parameters: Mapping[str, Any] | None = None,
        *,
        name: str = BEST_MODEL,
        step: int = 0,
    ) -> str:
        """Log a model package as an MLflow model of a run, once; return its address for :meth:`register`.

        The metrics that the run has at the ``step``, the epoch of the network, become those of the model. The wheel of
        this code travels with it. Where none can be built, the reason is the run's tag ``serving``. The digest of the
        package's files is a tag of the model, and with a ``sign_key`` their signature lies beside them.

        Args:
            run: Run of the model.
            package: The package.
            example: Raw counts of fields (N, C, H, W), an example of a request.
            parameters: Parameters of this request, for a model that needs some, see `package_signature`.
            name: Name of the model among those of the run.
            step: Epoch of the network.
        """
        # PyTorch is not needed to look into a store.
        from leigh_mlops.models import save_package
        from leigh_mlops.models.file_digest import package_digest
        from leigh_mlops.tracking.pyfunc import LOADER, PACKAGE, package_signature

        if (logged := self._logged_models(run).get(name)) is not None:
            return logged
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary,
            warnings.catch_warnings(),
            translate_store_errors(self.client),
        ):
            warnings.simplefilter("ignore")
            # Otherwise it lies in MLflow's default experiment, whose files are those of the working directory.
            mlflow.set_experiment(experiment_id=self.experiment_id)
            loader, folder = Path(temporary) / "loader.py", Path(temporary) / PACKAGE
            loader.write_text(LOADER)
            save_package(package, folder)
            wheel, requirements = _write_wheel(run, Path(temporary), package.model.distributions)
            seal = self._write_seal(folder, Path(temporary) / SEAL)
            info = Model.log(
                artifact_path=None,
                flavor=mlflow.pyfunc,
                name=name,
                run_id=run.id,
                step=step,
                python_model=str(loader),
                artifacts={PACKAGE: str(folder)} | wheel | seal,
                tags={DIGEST: package_digest(folder)},
                signature=package_signature(package),
                input_example=(example, dict(parameters)) if parameters else example,
                pip_requirements=requirements,
            )
        return str(info.model_uri)

    def _write_seal(self, package: Path, seal: Path) -> dict[str, str]:
        """Sign a package; return the signature as an artifact."""
        if self.sign_key is None:
            return {}
        load_signer(self.sign_key).sign(package, seal)
        return {"signature": str(seal)}

    def _logged_models(self, run: Run) -> dict[str, str]:
        """Addresses of the whole models of a run by name; an interrupted search may have logged some."""
        with translate_store_errors(self.client):
            found = self.client.search_logged_models([self.experiment_id], f"source_run_id = '{run.id}'")
        return {str(model.name): str(model.model_uri) for model in found if model.status == LoggedModelStatus.READY}

    def find_model(self, address: str) -> Version | Checkpoint:
        """Find a network in the store.

        Args:
            address: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS`` of a registered version, ``models:/m-…`` of any
                MLflow model, or ``runs:/RUN`` (its best epoch) or ``runs:/RUN/last`` (its last one) of a trial's run.

        Raises:
            LeighError: The address is malformed, or the store has no such network.
        """
        if _LOGGED.fullmatch(address):
            return Checkpoint(address)
        parts = re.fullmatch(r"runs:/(\w+)(?:/(\w+))?", address)
        if parts is None:
            return self.version(address)
        run_id, name = parts[1], parts[2] or BEST_MODEL
        models = self._logged_models(Run(self.client, run_id))
        if name == LAST_MODEL and name not in models and BEST_MODEL in models:
            raise LeighError(f"The run {run_id} has no {name!r}, since its last epoch is its best; use runs:/{run_id}.")
        if name not in models:
            stored = ", ".join(f"runs:/{run_id}/{each}" for each in models) or "none of it; raise keep in its search"
            raise LeighError(f"The store has no network {address}; stored are: {stored}.")
        return Checkpoint(models[name])

    def register(self, name: str, model_uri: str, run: Run, tags: Mapping[str, Any]) -> Version:
        """Register a logged model as the next version of a name, with alias ``challenger`` and its digest as a tag."""
        # A server needs the id of the logged model that an address names.
        logged = model_uri.removeprefix("models:/") if model_uri.startswith("models:/m-") else None
        with translate_store_errors(self.client):
            texts = tag_texts(dict(tags) | ({} if logged is None else {DIGEST: self._logged_digest(logged)}))
            try:
                self.client.create_registered_model(name)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
            made = self.client.create_model_version(name, model_uri, run_id=run.id, tags=texts, model_id=logged)
        version = self._keep_first_version(name, run) or Version(name, int(made.version), run.id, texts)
        self.set_alias(version, CHALLENGER)
        return version

    def _logged_digest(self, model_id: str) -> str | None:
        return dict(self.client.get_logged_model(model_id).tags).get(DIGEST)

    def _keep_first_version(self, name: str, run: Run) -> Version | None:
        """Find the version of a run that was just registered, and delete its twins.

        There are some where MLflow's client repeated the request for it.
        """
        version = self.find_run_version(name, run)
        with translate_store_errors(self.client):
            for found in self.client.search_model_versions(f"name = '{name}'"):
                if version is not None and found.run_id == run.id and int(found.version) > version.version:
                    self.client.delete_model_version(name, str(found.version))
        return version

    def describe(self, version: Version, text: str) -> None:
        """Set the description of a version, Markdown that MLflow's UI shows; it is cut to what a store takes."""
        whole = len(text) <= _MOST_CHARACTERS
        shown = text if whole else f"{text[: _MOST_CHARACTERS - 1]}…"
        with translate_store_errors(self.client):
            self.client.update_model_version(version.name, str(version.version), shown)

    def find_run_version(self, name: str, run: Run) -> Version | None:
        """Find the version of a name that was registered from a run, if there is one."""
        with translate_store_errors(self.client):
            found = self.client.search_model_versions(f"name = '{name}'")
        versions = [each for each in found if each.run_id == run.id]
        if not versions:
            return None
        first = min(versions, key=lambda each: int(each.version))
        return Version(name, int(first.version), run.id, dict(first.tags))

    def promote(self, name: str, version: int) -> Version:
        """Give a version the alias ``champion``; it is no challenger any more.

        Raises:
            LeighError: There is no such version.
        """
        found = self.version(f"models:/{name}/{version}")
        self.set_alias(found, CHAMPION)
        with translate_store_errors(self.client):
            aliases = self.client.get_registered_model(name).aliases
            if CHALLENGER in aliases and int(aliases[CHALLENGER]) == version:
                self.client.delete_registered_model_alias(name, CHALLENGER)
        return found

    def set_alias(self, version: Version, alias: str) -> None:
        """Set an alias of a version."""
        with translate_store_errors(self.client):
            self.client.set_registered_model_alias(version.name, alias, str(version.version))

    def champion(self, name: str) -> Version | None:
        """The version with the alias ``champion``, if there is one."""
        try:
            return self.version(f"models:/{name}@{CHAMPION}")
        except NoVersionError:
            return None

    def version(self, uri: str) -> Version:
        """Find ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.

        Raises:
            LeighError: The address is malformed, or the store has no such version.
        """
        parts = re.fullmatch(r"models:/([^/@]+)(?:/(\d+)|@(\w+))", uri)
        if parts is None:
            raise LeighError(
                f"{uri!r} is not the address of a registered model; write models:/NAME@champion or models:/NAME/3."
            )
        name, number, alias = parts.groups()
        with translate_store_errors(self.client):
            try:
                if alias:
                    found = self.client.get_model_version_by_alias(name, alias)
                else:
                    found = self.client.get_model_version(name, number)
            except MlflowException as error:
                # A missing alias is reported as an invalid value.
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
                names = ", ".join(sorted(model.name for model in self.client.search_registered_models())) or "none yet"
                raise NoVersionError(
                    f"The store has no {uri}; registered models are: {names}. Name one of them with a version "
                    "or alias that it has, run the tune command first, or give the --store that it wrote to."
                ) from None
        return Version(name, int(found.version), found.run_id, dict(found.tags))

    def download(self, version: Version | Checkpoint, folder: Path) -> Path:
        """Copy the model package of a version or checkpoint into a folder, without executing any of it.

        Raises:
            LeighError: Its files lie outside the store's own artifacts, can't be copied, are no package, or not those
                that were registered; or their signature by the trusted key is missing or wrong.
        """
        try:
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
                fetched = self._fetch(version.uri, temporary)
                found = [path.parent for path in sorted(fetched.rglob("model.json"))]
                if len(found) != 1:
                    raise LeighError(f"{version.uri} holds no model package; register it again with the train command.")
                self._check_digest(version, found[0])
                if self.trusted_key is not None:
                    require_seal(found[0], self.trusted_key, version.uri)
                shutil.copytree(found[0], folder, dirs_exist_ok=True)
        except LeighError:
            raise
        except Exception as error:  # of a client for any kind of storage, a server's answer or the disk
            if is_disk_full(error):
                raise LeighError(
                    f"The files of {version.uri} can't be copied, as {tempfile.gettempdir()} or {folder} is full; free "
                    "space, or name another folder for temporary files with TMPDIR."
                ) from None
            raise LeighError(
                f"The files of {version.uri} can't be downloaded ({one_line(error)}); check the store that holds them."
            ) from None
        return folder

    def _check_digest(self, version: Version | Checkpoint, package: Path) -> None:
        """Refuse files that are not those that were logged; versions before 0.2 have no digest."""
        from leigh_mlops.models.file_digest import package_digest

        if isinstance(version, Version):
            expected = version.tags.get(DIGEST)
        else:
            expected = self._logged_digest(version.uri.removeprefix("models:/"))
        if expected and package_digest(package) != expected:
            raise LeighError(
                f"The files of {version.uri} are not those that were stored (their digest is not {expected[:12]}…); "
                "restore them, or train the model again."
            )

    def _fetch(self, uri: str, folder: str) -> Path:
        """Download all files of a model from where they were checked to lie."""
        root = str(self.client.get_experiment(self.experiment_id).artifact_location)
        source = find_source(self.client, uri, root)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            repository = get_artifact_repository(source, tracking_uri=str(self.client.tracking_uri))
            return Path(repository.download_artifacts("", dst_path=folder))


def _write_wheel(run: Run, folder: Path, further: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Write the wheel of this code; return it as an artifact, and the requirements of the model, some of extras."""
    try:
        wheel = build_wheel()
    except LeighError as error:
        run.set_tags({NO_WHEEL: str(error)})
        return {}, []
    path = folder / wheel.file_name
    path.write_bytes(wheel.content)
    return {"wheel": str(path)}, wheel.requirements(_ARTIFACTS, further)
