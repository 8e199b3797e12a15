"""The package itself: what it exposes, and what it imports before something is used."""

import subprocess
import sys

import pytest

import leigh_mlops

HEAVY = ("torch", "numpy", "pandas", "ray", "mlflow", "matplotlib")


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_nothing_heavy_is_imported_before_it_is_used() -> None:
    loaded = f"print([name for name in {HEAVY} if name in sys.modules])"
    assert run(f"import sys, leigh_mlops\n{loaded}") == "[]"
    assert "torch" in run(f"import sys, leigh_mlops\nleigh_mlops.load\n{loaded}")


def test_the_package_lists_what_it_exposes() -> None:
    assert {"load", "read_plate", "show", "__version__"} <= set(dir(leigh_mlops))
    for name in leigh_mlops.__all__:
        assert getattr(leigh_mlops, name)
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        leigh_mlops.lod  # noqa: B018
