"""The one exception that a user of the commands meets, and paths as its messages name them."""

__all__ = ["LeighError", "printable"]


class LeighError(ValueError):
    """Something that a user caused and can mend.

    The message is one sentence that says what is wrong, the value received and
    what to do. Commands print it without a traceback and exit with 1.
    """


def printable(text: object) -> str:
    r"""A path or reason for a message of one line: line breaks and bytes that are no text are escaped.

    Example:
        >>> printable("Plätte\n1")
        'Plätte\\n1'
    """
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in str(text))
