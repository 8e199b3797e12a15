"""Reading of whole numbers from texts of users and files."""

__all__ = ["parse_whole"]

_MOST_DIGITS = 15  # Python refuses thousands of them, and no count, page or plane has more


def parse_whole(text: str) -> int | None:
    """Parse a whole number from 0; None for any other text, and for numbers that count nothing on a plate.

    Example:
        >>> parse_whole("12"), parse_whole("-1"), parse_whole("1.5"), parse_whole("9" * 5000)
        (12, None, None, None)
    """
    return int(text) if len(text) <= _MOST_DIGITS and text.isdecimal() else None
