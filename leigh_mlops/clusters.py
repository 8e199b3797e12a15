"""Command ``clusters``: clusters of wells by several ways, beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from leigh_mlops.commands import Data, Platemap, RequireSignature, Seed, Store, console, run, split_list


def clusters(
    model: Annotated[
        str,
        typer.Argument(help="Model: models:/NAME@ALIAS, models:/NAME/VERSION, or the folder of a package."),
    ],
    data: Data,
    count: Annotated[int, typer.Option("--clusters", min=2, help="Number of clusters; hdbscan finds it itself.")],
    out: Annotated[Path, typer.Option(help="CSV file for the cluster of each well by each way.")],
    platemap: Platemap = None,
    ways: Annotated[
        str, typer.Option(help="Comma-separated: k-means, hdbscan (density), turtle (largest margins).")
    ] = "k-means,hdbscan,turtle",
    seed: Seed = 0,
    store: Store = None,
    require_signature: RequireSignature = None,
) -> None:
    """Cluster wells by the features of a trained model and by plain intensities, without labels."""
    from leigh_mlops.api.model import load
    from leigh_mlops.study.cluster_comparison import compare_clusters
    from leigh_mlops.study.cluster_summary import comparison_lines, comparison_table, write_clusters
    from leigh_mlops.study.prepare import DataSource
    from leigh_mlops.study.profiles import find_usable_fields

    package = load(model, store=store, require_signature=require_signature).package
    fields = find_usable_fields(package, DataSource(data, platemap), console)
    found = compare_clusters(package, fields, count, split_list(ways) or (), console, seed=seed)
    write_clusters(found, out)
    for sentence in comparison_lines(found):
        console.print(sentence, markup=False)
    console.print(comparison_table(found.ways))
    console.print(f"Wrote the clusters of {len(found.wells)} wells to {out}.", markup=False)


if __name__ == "__main__":
    run(clusters)
