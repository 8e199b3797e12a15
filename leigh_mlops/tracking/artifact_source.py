"""Sources of registered versions, which a store may only name below its own artifact root."""

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlflow.tracking import MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path

from leigh_mlops.errors import LeighError, escape_unprintable
from leigh_mlops.tracking.secrets import redact_secrets

__all__ = ["find_source", "require_own_source", "require_regular_files"]

_PROXIED = "mlflow-artifacts"
_REGISTERED = re.compile(r"models:/([^/]+)/(\d+)")
_LOGGED_MODEL, _RUN = "models:/m-", "runs:/"


def find_source(client: MlflowClient, uri: str, root: str) -> str:
    """Address of the files of a model, checked before anything connects to it or reads it.

    Args:
        client: Client of the store.
        uri: ``models:/NAME/VERSION`` of a registered version, or ``models:/m-…`` of any logged model.
        root: Artifact root of the store.

    Raises:
        LeighError: It lies outside the store's own artifact root, or not all of its files are regular ones.
    """
    registered = _REGISTERED.fullmatch(uri)
    source = _resolve(client, str(client.get_model_version_download_uri(*registered.groups())) if registered else uri)
    require_own_source(source, root, str(client.tracking_uri))
    if _is_local(source):
        require_regular_files(Path(local_file_uri_to_path(source)), Path(local_file_uri_to_path(root)))
    return source


def _resolve(client: MlflowClient, source: str) -> str:
    """Address of the files of a logged model or of a run, as the store has it; others are addresses already."""
    if source.startswith(_LOGGED_MODEL):
        return str(client.get_logged_model(source.removeprefix("models:/")).artifact_location)
    if source.startswith(_RUN):
        run, _, path = source.removeprefix(_RUN).partition("/")
        return f"{client.get_run(run).info.artifact_uri}/{path}"
    return source


def require_own_source(source: str, root: str, store: str) -> None:
    """Refuse a source outside a store's own artifact root.

    A server hands out its files itself, so that only ``mlflow-artifacts:`` of the same server is its own. Without a
    server, the source lies below the root; that of an SQLite store is a folder.

    Args:
        source: Address of files.
        root: Artifact root of the store.
        store: Tracking address of the store.

    Raises:
        LeighError: The source lies outside.
    """
    if store.startswith("http"):
        own = _is_proxied(source, store)
    elif _is_local(root):
        own = _is_local(source) and _contains(Path(local_file_uri_to_path(root)), Path(local_file_uri_to_path(source)))
    else:
        own = not store.startswith("sqlite:") and _contains_address(root, source)
    if not own:
        where = escape_unprintable(redact_secrets(source))[:300]
        raise LeighError(
            f"The files of a version lie at {where!r}, outside the store's own artifacts, and are not touched; "
            "register the version again in this store."
        )


def require_regular_files(folder: Path, root: Path) -> None:
    """Refuse a folder with anything but folders and regular files, which a copy would wait for or never end.

    A link may lead to a regular file below the root.

    Raises:
        LeighError: It holds another kind of file, or a link that leads out of the root.
    """
    for path in _walk(folder):
        kind = path.stat().st_mode
        if not stat.S_ISREG(kind) or not _contains(root, path):
            raise LeighError(
                f"{escape_unprintable(path)} is no regular file of the store, and is not read; register the version "
                "again."
            )


def _walk(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder, onerror=_raise):
        yield from (Path(parent, name) for name in files)
        yield from (Path(parent, name) for name in folders if Path(parent, name).is_symlink())


def _raise(error: OSError) -> None:
    raise error


def _is_local(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme in ("", "file") and not parts.netloc


def _contains(root: Path, path: Path) -> bool:
    return path.resolve().is_relative_to(root.resolve())


def _is_proxied(source: str, store: str) -> bool:
    parts = urlsplit(source)
    same = parts.netloc in ("", urlsplit(store).netloc)
    return parts.scheme == _PROXIED and same and _is_plain(source)


def _contains_address(root: str, source: str) -> bool:
    one, other = urlsplit(source), urlsplit(root)
    below = f"{one.path}/".startswith(f"{other.path.rstrip('/')}/")
    return (one.scheme, one.netloc) == (other.scheme, other.netloc) and below and _is_plain(source)


def _is_plain(address: str) -> bool:
    """Return whether a path holds no step upwards, however it is written, and no query."""
    parts = urlsplit(address)
    steps = unquote(unquote(parts.path)).replace("\\", "/").split("/")
    return ".." not in steps and not parts.query and not parts.fragment
