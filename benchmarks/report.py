"""The last line of a benchmark."""

import json


def report(name: str, *, ours: float, reference: float, unit: str, bar: float) -> None:
    """Print one JSON object: ``ratio`` is ours over the reference, ``bar`` what the ratio is held to."""
    values = {"name": name, "ours": ours, "reference": reference, "ratio": ours / reference, "unit": unit, "bar": bar}
    print(json.dumps(values))
