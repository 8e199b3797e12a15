"""Errors of a store that does not answer, that refuses a request, or whose disk is full."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError, is_disk_full
from leigh_mlops.tracking.secrets import first_line, redact_secrets

__all__ = ["NoVersionError", "StoreUnavailableError", "describe_missing_package", "translate_store_errors"]

# Codes of requests that would be refused again; any other error may be transient.
_REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class StoreUnavailableError(LeighError):
    """The store does not answer, or its disk is full; the request may be repeated."""


class NoVersionError(LeighError):
    """The store has no such version."""


def describe_missing_package(error: BaseException | None) -> str | None:
    """Describe a package that can't be imported, with the remedy, where that is what an error was raised from."""
    while error is not None and not isinstance(error, ImportError):
        error = error.__cause__
    if error is None:
        return None
    return (
        f"A Python package can't be imported ({first_line(error)}); install it in the environment of "
        "leigh_mlops, those for servers with: pip install 'leigh_mlops[servers]'"
    )


@contextmanager
def translate_store_errors(client: MlflowClient) -> Iterator[None]:
    """Turn errors of a store into those of this package.

    Raises:
        StoreUnavailableError: The store does not answer, or a disk is full; the request may be repeated.
        LeighError: The store refuses the request, and would do so again, or a package can't be imported.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError, ImportError) as error:
        where = redact_secrets(str(client.tracking_uri))
        if missing := describe_missing_package(error):
            raise LeighError(missing) from None
        if is_disk_full(error):
            raise StoreUnavailableError(
                f"The store {where} can't be written ({first_line(error)}); free space on its disk and in the folder "
                "for temporary files, then run the same command again."
            ) from None
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if getattr(error, "error_code", None) in _REFUSALS or status in (400, 401, 403, 404):
            raise LeighError(f"The store {where} refused the request ({first_line(error)}); see its log.") from None
        raise StoreUnavailableError(
            f"The store {where} does not answer ({first_line(error)}); start it again, or give another --store."
        ) from None
