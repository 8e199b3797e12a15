"""A store that does not answer, told from one that refuses."""

from collections.abc import Iterator
from contextlib import contextmanager

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from leigh_mlops.errors import LeighError
from leigh_mlops.tracking.secrets import first_line, without_secrets

__all__ = ["NoVersionError", "StoreAwayError", "asked"]

# What a store says of a request that it would refuse again; anything else may pass.
_REFUSALS = {
    "INVALID_PARAMETER_VALUE",
    "PERMISSION_DENIED",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}


class StoreAwayError(LeighError):
    """The store does not answer; what was asked for may be asked again."""


class NoVersionError(LeighError):
    """The store has no such version."""


@contextmanager
def asked(client: MlflowClient) -> Iterator[None]:
    """Tell a store that does not answer from one that refuses.

    Raises:
        StoreAwayError: The request may be made again.
        LeighError: It would be refused again.
    """
    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        where = without_secrets(str(client.tracking_uri))
        status = getattr(getattr(error, "response", None), "status_code", 0)
        if getattr(error, "error_code", None) in _REFUSALS or status in (400, 401, 403, 404):
            raise LeighError(f"The store {where} refuses ({first_line(error)}); see its log.") from None
        raise StoreAwayError(
            f"The store {where} does not answer ({first_line(error)}); start it again, or give another --store."
        ) from None
