"""An engine as a newcomer would write it: threads of this process."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

from dataset_upload.engines import Engine, Work
from dataset_upload.engines.in_process import attempt
from dataset_upload.errors import EpisodeError

Job = TypeVar("Job")
Result = TypeVar("Result")


class Threads(Engine):
    """Does jobs `num_workers` at a time; nothing can time out, as no thread can be ended."""

    def run(
        self, work: Work[Job, Result], jobs: Iterable[Job]
    ) -> Generator[tuple[Job, Result | EpisodeError], None, None]:
        waiting, num_workers = iter(jobs), self.output.num_workers
        with ThreadPoolExecutor(num_workers) as pool:
            running = {pool.submit(attempt, work, job): job for job in islice(waiting, num_workers)}
            while running:
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()  # raises StoppedError
                    running.update({pool.submit(attempt, work, job): job for job in islice(waiting, 1)})


class Elsewhere(Threads):
    """As if these threads were on other machines."""

    shares_disk = False
