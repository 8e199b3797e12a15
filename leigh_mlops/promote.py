"""Move the alias champion by hand."""

from typing import Annotated

import typer

from leigh_mlops.commands import Store, console, run


def promote(
    name: Annotated[str, typer.Argument(help="Registered name, such as leigh-iresnet.")],
    version: Annotated[int, typer.Argument(help="Its version.")],
    store: Store = None,
) -> None:
    """Make a version the champion that jobs take."""
    from leigh_mlops.tracking import Store as Tracking

    promoted = Tracking.open(store).promote(name, version)
    console.print(f"{promoted.uri} is champion: models:/{name}@champion names it from now on.", markup=False)


if __name__ == "__main__":
    run(promote)
