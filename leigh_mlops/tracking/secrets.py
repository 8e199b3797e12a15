"""Removal of passwords from addresses and messages."""

import os
import re
from urllib.parse import unquote, urlsplit

__all__ = ["first_line", "move_password_to_environment", "one_line", "redact_secrets"]


def first_line(error: BaseException) -> str:
    """First line of an error's message, or its type, without passwords."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return redact_secrets(lines[0])[:300]


def one_line(error: BaseException) -> str:
    """Message of an error in one short line, or its type, without passwords."""
    return redact_secrets(" ".join(str(error).split()) or type(error).__name__)[:300]


def move_password_to_environment(uri: str) -> str:
    """Return a server's address without user and password, which MLflow then reads from the environment.

    MLflow would print links to runs with a password that is left in the address.
    """
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https") or parts.username is None:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password or "")
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def redact_secrets(text: str) -> str:
    """Remove user, password and query from the addresses in a text."""
    text = re.sub(r"(\w+://)\S*@", r"\1…@", text)
    return re.sub(r"(\w+://[^\s?]*)\?\S*", r"\1?…", text)
