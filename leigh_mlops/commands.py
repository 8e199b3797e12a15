"""Shared parts of the commands: options, console, one-sentence errors, settings of libraries."""

import errno
import functools
import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from leigh_mlops import __version__
from leigh_mlops.errors import LeighError, StoppedError, escape_unprintable, is_disk_full
from leigh_mlops.user_folders import user_folder

if TYPE_CHECKING:
    from leigh_mlops.study.prepare import DataSource

__all__ = [
    "ENVIRONMENT",
    "EXIT_MOST_FAILED",
    "Augment",
    "console",
    "labelled_source",
    "run",
    "stop_work",
    "Data",
    "Exclude",
    "Fold",
    "Group",
    "JudgeBy",
    "Platemap",
    "EngineName",
    "EnginePrecision",
    "RayAddress",
    "RayPatience",
    "RequireSignature",
    "Seed",
    "ScaleBy",
    "Shares",
    "SignKey",
    "SkipBroken",
    "Store",
    "TrainOnCompounds",
    "Verbose",
    "split_list",
]

EXIT_MOST_FAILED = 3
"""Exit code of a command that did its work, though more than half of the fields failed."""

# Files and pipes have no width, but tables need one.
console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 110)

Data = Annotated[
    Path,
    typer.Option("--data", help="Image folder (class folders or a microscope's export) or image table."),
]
Platemap = Annotated[
    Path | None,
    typer.Option("--platemap", help="Plate map (CSV); by default platemap.csv in the image folder."),
]
Group = Annotated[str, typer.Option("--group", help="Groups that the split keeps whole: well, plate, batch or donor.")]
Fold = Annotated[
    str | None,
    typer.Option(
        "--fold",
        help="Test fold: 2/5 is the second of five folds; 2/all makes one fold per group, so that --group plate "
        "leaves one plate out.",
    ),
]
JudgeBy = Annotated[
    str,
    typer.Option(
        "--judge-by",
        help="Unit by which a winner is compared with the champion: well (validation wells), or plate: each winning "
        "classifier is trained once more without each plate, and scored on it.",
    ),
]
Shares = Annotated[
    str | None,
    typer.Option(
        "--shares",
        help="Percent of the wells (or other groups) in training, validation and test part; by default 60,20,20.",
    ),
]
Exclude = Annotated[
    str | None,
    typer.Option(
        "--exclude",
        help="Comma-separated flaws that exclude a field, or none; by default "
        "missing_channel, unreadable, empty, out_of_focus.",
    ),
]
ScaleBy = Annotated[
    str,
    typer.Option(
        "--scale-by",
        help="training: one intensity scale, fitted on all training wells; controls: first normalise each plate by "
        "its own negative controls.",
    ),
]
Augment = Annotated[
    str | None,
    typer.Option(
        "--augment",
        help="Further transforms of training images: published (none), morphology, microscope, or a JSON or YAML file "
        "of Albumentations transforms.",
    ),
]
SignKey = Annotated[
    Path | None,
    typer.Option("--sign-key", help="Private key (PEM, NIST P-256) that signs the networks that are stored."),
]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="Engine that computes predictions and embeddings of classifiers: torch, fused or openvino; by default the "
        "fastest installed one whose probabilities differ by less than 1e-4.",
    ),
]
EnginePrecision = Annotated[
    str | None, typer.Option("--precision", help="Precision of the engine: fp32 or bf16, by default fp32.")
]
RequireSignature = Annotated[
    Path | None,
    typer.Option("--require-signature", help="Public key (PEM); a model without a signature by it is refused."),
]
TrainOnCompounds = Annotated[
    bool,
    typer.Option(
        "--train-on-compounds",
        help="Count wells with a compound in the plate map as labelled; by default they are in no class, unless they "
        "are controls.",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="MLFLOW_TRACKING_URI",
        help="MLflow tracking URI, or folder of an embedded store; by default ./mlruns.",
    ),
]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address",
        help="Address of a Ray cluster; by default one of its own on this machine, whatever RAY_ADDRESS says.",
    ),
]
RayPatience = Annotated[
    float,
    typer.Option("--ray-patience", min=0, help="Minutes in which the start of Ray is tried again on a busy machine."),
]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**32 - 1, help="Random seed of the split and the trials.")]
SkipBroken = Annotated[bool, typer.Option("--skip-broken", help="Skip images that can't be read instead of stopping.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Show the output of Ray and MLflow.")]

# These settings turn off telemetry and the output of the libraries.
ENVIRONMENT = {
    "GIT_PYTHON_REFRESH": "quiet",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # A server would otherwise name any address for the files of a version.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # MLflow prints links to runs, including a password in the address.
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    # Threads of the arithmetic that wait for each other would keep all cores busy, many times as long as they compute.
    "OMP_WAIT_POLICY": "PASSIVE",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A busy machine needs longer than the 30 s that Ray waits for its control process.
    "RAY_gcs_server_port_wait_time_s": "120",
    # A control process that died on this machine never returns, so a wait of one minute is useless.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "15",
    # One worker killed for memory would end the whole search.
    "RAY_memory_monitor_refresh_ms": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


def run(*functions: Callable[..., Any]) -> None:
    """Run one function as a command line, or several as subcommands, and exit."""
    signal.signal(signal.SIGTERM, stop_work)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, stop_work)
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _keep_matplotlib_silent()
    if "--verbose" not in sys.argv:
        warnings.simplefilter("ignore")
        # It warns of parts of a file on which no pixel depends; what can't be read is an error.
        logging.getLogger("imagecodecs").setLevel(logging.CRITICAL)
    for stream in (sys.stdout, sys.stderr):
        # A file name may contain bytes that are not text.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=len(functions) > 1)
    if len(functions) > 1:
        app.callback()(describe_commands)
    for function in functions:
        app.command()(_handle_errors(function))
    app()


def _keep_matplotlib_silent() -> None:
    """Name a folder for matplotlib's cache where there is no home folder; it would warn of it in each process."""
    if "MPLCONFIGDIR" not in os.environ and not os.access(os.path.expanduser("~"), os.W_OK):
        with suppress(LeighError):
            os.environ["MPLCONFIGDIR"] = str(user_folder("LEIGH_CACHE", "XDG_CACHE_HOME", ".cache") / "matplotlib")


def stop_work(number: int, frame: FrameType | None) -> None:
    """Handle a signal that ends the work.

    Raises:
        StoppedError: Always.
    """
    raise StoppedError(number)


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
    """Train neural networks on images of well plates, and explain their predictions."""


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
            sentence = _describe_disk_error(error)
            if sentence is None:
                raise
            print(f"error: {sentence}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt as error:
            print("stopped; finished work is kept, and a batch job resumes when started again.", file=sys.stderr)
            number = error.number if isinstance(error, StoppedError) else signal.SIGINT
            raise typer.Exit(128 + number) from None

    return wrapper


def _describe_disk_error(error: OSError) -> str | None:
    """Describe an error of a file or a disk, with its remedy; None for others, such as those of a connection."""
    reason = escape_unprintable(error.strerror or error).strip().lower()
    # A write to an open file that the disk refuses names no file, and a copied folder hides the reason.
    if is_disk_full(error) or error.errno == errno.EIO:
        reason = reason if error.errno else "no space left on device"
        return (
            f"a disk can't be written ({reason}); free space where results, store, cache and temporary files are, then "
            "run the same command again."
        )
    if error.filename is not None:
        return f"{escape_unprintable(error.filename)} cannot be used ({reason}); check the path."
    if error.errno == errno.ENOENT:  # of tempfile, which lists the folders that it tried
        return f"{reason}; name a folder that can be written to with TMPDIR."
    return None


def labelled_source(options: Mapping[str, Any]) -> "DataSource":
    """Return the labelled images that a command asks for, and how their wells are divided.

    Args:
        options: Arguments of the command by name, as ``locals()`` gives them; it takes those that are named as the
            attributes of a source, ``data`` for its path, and ``exclude`` as text.
    """
    from leigh_mlops.study.prepare import DataSource

    own = {field.name for field in fields(DataSource)} - {"exclude"}
    given = {name: options[name] for name in own & options.keys()}
    return DataSource(path=options["data"], exclude=split_list(options["exclude"]), **given)


def split_list(text: str | None) -> list[str] | None:
    """Split ``a,b`` at its commas; ``None`` stays ``None``."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]
