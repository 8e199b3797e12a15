"""Shared parts of the command lines: the console, one-sentence errors, quiet libraries."""

import functools
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from leigh_mlops import __version__
from leigh_mlops.errors import LeighError, escape_unprintable

__all__ = [
    "ENVIRONMENT",
    "console",
    "run",
    "Data",
    "Exclude",
    "Fold",
    "Group",
    "Platemap",
    "RayAddress",
    "Seed",
    "ScaleBy",
    "SkipBroken",
    "Store",
    "Verbose",
    "split_list",
]

# Files and pipes have no width of their own; tables need one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 110)

Data = Annotated[
    Path,
    typer.Option("--data", help="Folder of images (class folders or a microscope's folder) or an image table."),
]
Platemap = Annotated[
    Path | None,
    typer.Option("--platemap", help="CSV that says what stands in each well, where it lies elsewhere."),
]
Group = Annotated[str, typer.Option("--group", help="What is never divided: well, plate, batch or donor.")]
Fold = Annotated[
    str | None,
    typer.Option(
        "--fold",
        help="Take part 2 of 5 as the test part with 2/5; 2/all gives each group a part of its own, so that "
        "--group plate leaves one plate out.",
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        help="Flaws for which a field is left out, with commas, or none; by default "
        "missing_channel,unreadable,empty,out_of_focus.",
    ),
]
ScaleBy = Annotated[
    str,
    typer.Option(
        "--scale-by",
        help="training: one intensity scale from all training wells; controls: each plate is first brought to a "
        "common level by its own negative controls.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow tracking address or folder of an embedded store; by default ./mlruns.",
    ),
]
RayAddress = Annotated[
    str | None, typer.Option("--ray-address", help="Ray cluster to work on; by default this machine.")
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same split and the same trials.")]
SkipBroken = Annotated[
    bool, typer.Option("--skip-broken", help="Leave out images that can't be read instead of stopping.")
]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show what Ray and MLflow say, too.")]

# No telemetry is sent, and the libraries print nothing of their own.
ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # Links to runs, with the password of an address that has one.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A control process that died on this machine never comes back: waiting a minute for it is pointless.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    # One worker killed for memory would end the whole search.
    "RAY_memory_monitor_refresh_ms": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


def run(*functions: Callable[..., Any]) -> None:
    """Run one function as a command line, or several as subcommands, and exit."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if "--verbose" not in sys.argv:
        warnings.simplefilter("ignore")
    for stream in (sys.stdout, sys.stderr):
        # A file's name may hold bytes that are no text.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=len(functions) > 1)
    if len(functions) > 1:
        app.callback()(describe_commands)
    for function in functions:
        app.command()(_handle_errors(function))
    app()


def show_version(requested: bool) -> None:
    """Print name and version and exit if ``--version`` is given."""
    if requested:
        print(f"leigh_mlops {__version__}")
        raise typer.Exit


def describe_commands(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train networks on photographs of well plates, and see what they look at."""


def _handle_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn errors that a user caused into one sentence on standard error and exit code 1."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        try:
            return function(*args, **kwargs)
        except LeighError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            raise typer.Exit(1) from None
        except OSError as error:
            if error.filename is None:
                raise
            reason = (error.strerror or str(error)).lower()
            print(
                f"error: {escape_unprintable(error.filename)} cannot be used ({reason}); check the path.",
                file=sys.stderr,
            )
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("stopped; what is done is kept, and a batch job goes on when started again.", file=sys.stderr)
            raise typer.Exit(130) from None

    return wrapper


def split_list(text: str | None) -> list[str] | None:
    """Split ``a,b`` at its commas; ``None`` stays ``None``."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
