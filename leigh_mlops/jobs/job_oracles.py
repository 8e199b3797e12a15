"""Registered versions that evaluate the counterfactuals of a job."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from leigh_mlops.errors import LeighError
from leigh_mlops.jobs.job_file import oracle_name
from leigh_mlops.jobs.validation import check_oracle
from leigh_mlops.models import ModelPackage, load_package
from leigh_mlops.tracking import Store

__all__ = ["JobOracle", "download_oracles"]


class JobOracle(NamedTuple):
    """Version that evaluates counterfactuals, with its folder and package."""

    uri: str
    folder: Path
    package: ModelPackage

    @property
    def name(self) -> str:
        """Name in columns, such as ``leigh-resnext-3``."""
        return oracle_name(self.uri)


def download_oracles(
    store: Store, asked: Sequence[str], before: Mapping[str, Any], uri: str, package: ModelPackage, folder: Path
) -> list[JobOracle]:
    """Download the packages of oracles; a resumed job keeps the versions it was begun with.

    Args:
        store: Registry.
        asked: Addresses of the oracles, which may be aliases.
        before: The job as it was begun; empty for a new one.
        uri: Address of the explained version.
        package: The explained model.
        folder: Folder for the packages.

    Raises:
        LeighError: An oracle is the explained model, is given twice, or does not fit the model.
    """
    found: list[JobOracle] = []
    pinned = dict(zip(before.get("oracle_asked", []), before.get("oracle", []), strict=False))
    for number, address in enumerate(asked):
        oracle = store.version(pinned.get(address, address))
        if oracle.uri == uri:
            raise LeighError(f"--oracle {oracle.uri} is the explained model itself; give another --oracle, or none.")
        if oracle.uri in [each.uri for each in found]:
            raise LeighError(f"--oracle {oracle.uri} is given twice; name each version once.")
        place = store.download(oracle, folder / f"oracle-{number}")
        each = JobOracle(oracle.uri, place, load_package(place))
        check_oracle(package, each.package, oracle.uri)
        found.append(each)
    return found
