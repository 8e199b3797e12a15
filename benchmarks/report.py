"""The last line of a benchmark."""

import json
import math


def report(name: str, *, ours: float, reference: float, unit: str, bar: float) -> None:
    """Print one JSON object: ``ratio`` is ours over the reference, null where that is 0; ``bar`` is its bar."""
    ratio = ours / reference if reference else math.nan
    numbers = {"ours": ours, "reference": reference, "ratio": ratio, "bar": bar}
    known = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
    print(json.dumps({"name": name, "unit": unit} | known))
