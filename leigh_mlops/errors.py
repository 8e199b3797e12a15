"""Exception for errors that a user can fix, and formatting of paths in its messages."""

__all__ = ["LeighError", "escape_unprintable"]


class LeighError(ValueError):
    """Error that a user caused and can fix.

    The message is one sentence that says what is wrong, the value received and
    what to do. Commands print it without a traceback and exit with 1.
    """


def escape_unprintable(text: object) -> str:
    r"""Escape line breaks and bytes that are no text, for a path or reason in a message of one line.

    Example:
        >>> escape_unprintable("Plätte\n1")
        'Plätte\\n1'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
