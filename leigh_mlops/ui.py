"""Command ``ui``: the MLflow UI of a store."""

from typing import Annotated

import typer

from leigh_mlops.commands import Store, console, run


def ui(
    store: Store = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; by default, only this machine can connect. Another one needs a password in "
            "MLFLOW_AUTH_ADMIN_PASSWORD."
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 5000,
) -> None:
    """Serve the MLflow UI with runs, pictures and registered models."""
    from leigh_mlops.tracking import serve_ui

    raise typer.Exit(serve_ui(store, host, port, console))


if __name__ == "__main__":
    run(ui)
