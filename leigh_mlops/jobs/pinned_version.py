"""Version of a model with which a job was begun, and which it keeps."""

from pathlib import Path

from rich.console import Console

from leigh_mlops.jobs.job_file import read_job
from leigh_mlops.tracking import Store, Version

__all__ = ["pin_version"]


def pin_version(store: Store, asked: str, out: Path, console: Console) -> Version:
    """Resolve the model's address to a version; a resumed job keeps the version that it was begun with.

    Args:
        store: Registry.
        asked: Address of the model, which may be an alias.
        out: The job's folder.
        console: Prints whether an alias has moved since.

    Raises:
        LeighError: There is no such version.
    """
    version, before = store.version(asked), read_job(out)
    if not before or before.get("asked", asked) != asked or before["model"] == version.uri:
        return version
    console.print(
        f"{asked} is now {version.uri}; {out} was begun with {before['model']} and continues with it. "
        "Give another --out for the newer one.",
        markup=False,
    )
    return store.version(before["model"])
