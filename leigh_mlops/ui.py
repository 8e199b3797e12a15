"""The MLflow UI on a store."""

from typing import Annotated

import typer

from leigh_mlops.commands import Store, console, run


def ui(
    store: Store = None,
    host: Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 5000,
) -> None:
    """Show runs, pictures and registered models in the browser."""
    from leigh_mlops.tracking import serve_ui

    console.print(f"The UI comes up at http://{host}:{port} in about 20 seconds; Ctrl-C ends it.")
    raise typer.Exit(serve_ui(store, host, port))


if __name__ == "__main__":
    run(ui)
