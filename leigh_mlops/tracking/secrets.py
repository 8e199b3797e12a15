"""Passwords never reach a log, a run or an error."""

import os
import re
from urllib.parse import unquote, urlsplit

__all__ = ["first_line", "with_password_aside", "without_secrets"]


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return without_secrets(lines[0])[:300]


def with_password_aside(uri: str) -> str:
    """A server's address without user and password, which MLflow then takes from the environment.

    Left in the address, MLflow would write them under links to runs.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def without_secrets(text: str) -> str:
    """A text in which addresses have neither user and password nor query."""
    text = re.sub(r"(\w+://)\S*@", r"\1…@", text)
    return re.sub(r"(\w+://[^\s?]*)\?\S*", r"\1?…", text)
