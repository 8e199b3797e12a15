"""Command ``promote``: move the alias champion."""

from typing import Annotated

import typer

from leigh_mlops.commands import Store, console, run


def promote(
    name: Annotated[str, typer.Argument(help="Registered name, such as leigh-iresnet.")],
    version: Annotated[int, typer.Argument(help="Version number.")],
    store: Store = None,
) -> None:
    """Point the alias models:/NAME@champion at a registered version."""
    from leigh_mlops.tracking import Store as Tracking

    promoted = Tracking.open(store).promote(name, version)
    console.print(f"{promoted.uri} is now models:/{name}@champion.", markup=False)


if __name__ == "__main__":
    run(promote)
