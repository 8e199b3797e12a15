"""Recognition of a finished job since which nothing has changed, without reading an image or a network."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import leigh_mlops
from leigh_mlops.jobs.job_file import JOB_FILE, read_job

__all__ = ["describe_inputs", "describe_state", "is_complete", "request_digest"]

_STATE = "state"
_EMBEDDED = "mlruns"
_UNIMPORTANT = {"batch_size", "workers", "ray_address", "ray_patience", "verbose"}
"""Options of the command on which no result depends."""


def request_digest(options: Mapping[str, Any]) -> str:
    """Digest of what a command was asked for, 64 hexadecimal digits; passwords of a store have no part in it.

    Args:
        options: Options of the command by name. Paths mean the same from another working directory.
    """
    store = re.sub("//[^/]*@", "//", options.get("store") or _EMBEDDED)
    asked = dict(options) | {"store": store if "://" in store else Path(store)}
    texts = {name: _to_json(value) for name, value in asked.items() if name not in _UNIMPORTANT}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


def describe_inputs(paths: Iterable[Path], out: Path, known: Mapping[str, str] | None = None) -> dict[str, str]:
    """Digests of files, and of the folders with all that is below them but the job's folder, by their real paths.

    A digest is that of names, sizes and modification times. What is below a folder is described by that folder.

    Args:
        paths: Files and folders; ``FOLDER/*`` for the files of a folder without those below it.
        out: The job's folder.
        known: Digests of other files and folders, which are returned as well.
    """
    found = dict(known or {})
    for path in sorted({Path(os.path.realpath(path)) for path in paths}):
        if not any(str(each) in found for each in (path, *path.parents)):
            found[str(path)] = _digest(path, out)
    return found


def describe_state(out: Path, request: str, inputs: Mapping[str, str]) -> dict[str, Any]:
    """Describe what the outputs of a finished job were made from, and what they are; the value is for `write_job`.

    Args:
        out: The job's folder.
        request: Digest of the request, see `request_digest`.
        inputs: Digests of the inputs from before they were read, see `describe_inputs`.
    """
    program = Path(leigh_mlops.__file__).parent
    return {
        _STATE: {
            "request": request,
            "program": f"{leigh_mlops.__version__}-{_digest(program, out)}",
            "inputs": dict(inputs),
            "outputs": _digest(Path(os.path.realpath(out)), None),
        }
    }


def is_complete(out: Path, request: str) -> bool:
    """Return whether a job with this request has finished without failures, and nothing has changed since."""
    job = read_job(out)
    known = job.get(_STATE) or {}
    if not job.get("finished") or job.get("failed") or known.get("request") != request:
        return False
    inputs = {path: _digest(Path(path), out) for path in known.get("inputs", ())}
    return bool(describe_state(out, request, inputs)[_STATE] == known)


def _to_json(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, Path):
        return os.path.realpath(value)
    return list(value) if isinstance(value, tuple) else value


def _digest(path: Path, out: Path | None) -> str:
    """Digest of a file or a folder; that of what does not exist is that of nothing."""
    digest = hashlib.sha256()
    for name, state in _walk(path, None if out is None else os.path.realpath(out)):
        digest.update(f"{name}\0{state.st_size}\0{state.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _walk(path: Path, out: str | None) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the files below a folder, in the order of their names, without hidden ones and those of a job."""
    if path.is_file():
        yield path.name, path.stat()
    is_flat = path.name == "*"
    path = path.parent if is_flat else path
    for folder, folders, files in os.walk(path):
        shown = (name for name in folders if not name.startswith((".", "__pycache__")) and not is_flat)
        folders[:] = sorted(name for name in shown if os.path.join(folder, name) != out)
        for name in sorted(files):
            file = os.path.join(folder, name)
            # The state itself is in the job's file.
            if not name.startswith(".") and file != os.path.join(path, JOB_FILE) and os.path.exists(file):
                yield os.path.relpath(file, path), os.stat(file)
