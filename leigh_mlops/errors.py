"""The one exception that a user of the commands meets."""

__all__ = ["LeighError"]


class LeighError(ValueError):
    """Something that a user caused and can mend.

    The message is one sentence that says what is wrong, the value received and
    what to do. Commands print it without a traceback and exit with 1.
    """
