"""Errors of a store that does not answer, or that refuses a request."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError
from leigh_mlops.tracking.secrets import first_line, redact_secrets

__all__ = ["NoVersionError", "StoreUnavailableError", "translate_store_errors"]

# Codes of requests that would be refused again; any other error may be transient.
_REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class StoreUnavailableError(LeighError):
    """The store does not answer; the request may be repeated."""


class NoVersionError(LeighError):
    """The store has no such version."""


@contextmanager
def translate_store_errors(client: MlflowClient) -> Iterator[None]:
    """Turn errors of a store into those of this package.

    Raises:
        StoreUnavailableError: The store does not answer; the request may be repeated.
        LeighError: The store refuses the request, and would do so again.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        where = redact_secrets(str(client.tracking_uri))
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if getattr(error, "error_code", None) in _REFUSALS or status in (400, 401, 403, 404):
            raise LeighError(f"The store {where} refused the request ({first_line(error)}); see its log.") from None
        raise StoreUnavailableError(
            f"The store {where} does not answer ({first_line(error)}); start it again, or give another --store."
        ) from None
