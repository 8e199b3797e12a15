"""``leigh``: all commands as subcommands."""

from leigh_mlops.augment import augment
from leigh_mlops.blind import blind
from leigh_mlops.clusters import clusters
from leigh_mlops.commands import run
from leigh_mlops.crossvalidate import crossvalidate
from leigh_mlops.evaluate import evaluate
from leigh_mlops.explain import explain
from leigh_mlops.ingest import ingest
from leigh_mlops.leaderboard import leaderboard
from leigh_mlops.platemap import platemap
from leigh_mlops.profile import profile
from leigh_mlops.promote import promote
from leigh_mlops.synthesize import synthesize
from leigh_mlops.train import train
from leigh_mlops.trends import trends
from leigh_mlops.tune import tune
from leigh_mlops.ui import ui


def main() -> None:
    """Run ``leigh COMMAND``."""
    run(
        synthesize,
        platemap,
        ingest,
        augment,
        tune,
        train,
        crossvalidate,
        evaluate,
        explain,
        blind,
        profile,
        clusters,
        trends,
        leaderboard,
        promote,
        ui,
    )


if __name__ == "__main__":
    main()
