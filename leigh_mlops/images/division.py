"""Division of batches among processes that train one network together."""

from dataclasses import dataclass

__all__ = ["Division", "Portion"]


@dataclass(frozen=True)
class Portion:
    """Fields of a divided batch that one process holds.

    Attributes:
        places: Their places in the whole batch as the network sees it, controls before labelled fields.
        seen: Number of fields of that batch, controls included.
        labelled: Number of fields with labels of that batch.
    """

    places: tuple[slice, ...]
    seen: int
    labelled: int


@dataclass(frozen=True)
class Division:
    """Place of a process among those that divide each batch.

    Attributes:
        rank: Number of the process, from 0.
        ranks: Number of processes.
    """

    rank: int = 0
    ranks: int = 1

    def divides(self, *counts: int) -> bool:
        """Return whether each process gets some of each kind of fields; otherwise each has the whole batch."""
        return self.ranks > 1 and min(counts) >= self.ranks

    def share(self, count: int) -> slice:
        """Own part of so many fields; parts are neighbours, and differ by one field at most.

        Example:
            >>> [Division(rank, 3).share(8) for rank in range(3)]
            [slice(0, 2, None), slice(2, 5, None), slice(5, 8, None)]
        """
        return slice(count * self.rank // self.ranks, count * (self.rank + 1) // self.ranks)

    def portion(self, labelled: int, controls: int = 0) -> Portion:
        """Own portion of a batch of so many labelled fields, and controls before them."""
        own = self.share(labelled)
        shown = slice(controls + own.start, controls + own.stop)
        return Portion((self.share(controls), shown) if controls else (shown,), controls + labelled, labelled)
