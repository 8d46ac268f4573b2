"""All trajectories of a finished dataset, worked on by all cores, a part at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from dataset_upload.config import OutputConfig
from dataset_upload.engines import find_engine
from dataset_upload.errors import EpisodeError
from dataset_upload.formats.finished_dataset import FinishedDataset
from dataset_upload.ledger import Entry

ROWS_PER_PART = 50
_ROWS_WITHOUT_WORKERS = 200  # at most: these are done before workers have started
_TIMEOUT_S = 600  # of a part, which takes seconds

R = TypeVar("R")
PartFunction = Callable[[FinishedDataset, Sequence[int]], Sequence[R]]


class Lost(NamedTuple):
    """A trajectory that ended the process which worked on it, or whose row cannot be read."""

    source: str
    error: EpisodeError


def each_trajectory(
    function: PartFunction[R],
    dataset: FinishedDataset,
    numbers: Sequence[int] | None = None,
    *,
    num_workers: int = -1,
    preload: tuple[str, ...] = (),
) -> Iterator[R | Lost]:
    """Apply a function to the trajectories of a dataset, `ROWS_PER_PART` at a time; one that kills costs no other.

    Args:
        function: of a dataset and the numbers of some of its rows; returns one result a row, in order. Picklable. The
            dataset's ledger has these rows only: all of it would take as much memory in each worker. Where one of them
            cannot be done, the function is called again without it.
        dataset: whose.
        numbers: of the rows, ascending; None: all.
        num_workers: processes; -1: one per core, but none for few rows; 0: none.
        preload: modules that take long to load.

    Yields:
        The results, in the rows' order, whatever the number of workers.

    Raises:
        OSError: the tables or the ledger cannot be read.
        StoppedError: the function did, or no worker can be started.
    """
    rows = range(len(dataset)) if numbers is None else numbers
    if num_workers == -1 and len(rows) <= _ROWS_WITHOUT_WORKERS:
        num_workers = 0
    work = _Work(type(dataset)(dataset.folder), function, preload)
    finished: dict[int, Sequence[R | Lost]] = {}
    following = 0
    with closing(work.run(_parts(dataset, rows), num_workers)) as outcomes:
        for part, outcome in outcomes:
            if isinstance(outcome, EpisodeError):
                outcome = work.without_lost_rows(part, num_workers)
            finished[part.number] = outcome
            while following in finished:
                yield from finished.pop(following)
                following += 1


class _Part(NamedTuple):
    """Some rows, and what is known of them without reading them."""

    number: int
    rows: Sequence[int]
    sources: Sequence[str]
    ledger: dict[str, Entry]

    def __str__(self) -> str:
        return ", ".join(self.sources)

    def only(self, places: Sequence[int]) -> _Part:
        """The part with only those rows that are at these places in it."""
        return self._replace(rows=[self.rows[i] for i in places], sources=[self.sources[i] for i in places])


def _parts(dataset: FinishedDataset, rows: Sequence[int]) -> Iterator[_Part]:
    sources = dataset.column("source")
    for number, start in enumerate(range(0, len(rows), ROWS_PER_PART)):
        some = rows[start : start + ROWS_PER_PART]
        names = [sources[row] for row in some]
        yield _Part(number, some, names, {name: dataset.ledger[name] for name in names if name in dataset.ledger})


@dataclass(frozen=True)
class _Work(Generic[R]):
    """What workers do with each part.

    Attributes:
        dataset: one of its own, whose ledger it replaces.
        function, preload: of `each_trajectory`.
    """

    dataset: FinishedDataset
    function: PartFunction[R]
    preload: tuple[str, ...]

    def check_place(self) -> None:
        """Workers are where the dataset is."""

    def fetch(self, part: _Part) -> None:
        """Nothing comes from elsewhere."""

    def __call__(self, part: _Part, fetched: None = None) -> Sequence[R | Lost]:
        self.dataset.ledger = part.ledger
        return self.function(self.dataset, part.rows)

    def run(
        self, parts: Iterable[_Part], num_workers: int
    ) -> Generator[tuple[_Part, Sequence[R | Lost] | EpisodeError], None, None]:
        """What becomes of each part, in any order."""
        engine = find_engine(OutputConfig(num_workers=num_workers, episode_timeout_s=_TIMEOUT_S))
        return engine.run(self, parts)

    def without_lost_rows(self, part: _Part, num_workers: int) -> list[R | Lost]:
        """The results of a part that cannot be done whole: each row is tried alone, then those that can be together."""
        alone = [part.only([place]) for place in range(len(part.rows))]
        with closing(self.run(alone, num_workers)) as outcomes:
            errors = {each.rows[0]: outcome for each, outcome in outcomes if isinstance(outcome, EpisodeError)}
        good = part.only([place for place, row in enumerate(part.rows) if row not in errors])
        results: Iterator[R | Lost] = iter(())
        if good.rows:
            with closing(self.run([good], num_workers)) as outcomes:
                ((_, outcome),) = outcomes
            if isinstance(outcome, EpisodeError):  # only together do they ask too much
                errors |= dict.fromkeys(good.rows, outcome)
            else:
                results = iter(outcome)
        return [
            Lost(source, errors[row]) if row in errors else next(results)
            for row, source in zip(part.rows, part.sources, strict=True)
        ]
