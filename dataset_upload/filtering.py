"""Which episodes rules leave out: measured without video before the conversion, decided again at every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.dataset_loaders import DatasetLoader
from dataset_upload.engines import Engine
from dataset_upload.errors import EpisodeError, one_line
from dataset_upload.jobs import Job
from dataset_upload.ledger import DONE, FILTERED, SKIPPED, Entry, Ledger
from dataset_upload.quality.filters import Measured, Rule, first_broken, names


def check_rules(loader: DatasetLoader, rules: Sequence[Rule]) -> None:
    """Raises UsageError where there are rules, but a source lacks what measures are made of."""
    if rules:
        from dataset_upload.catalogue.measuring import check_measurable  # only now: most runs have no rules

        check_measurable(loader, "filters")


def left_by_rules(
    jobs: list[Job],
    selected: Sequence[Any],
    loader: DatasetLoader,
    ledger: Ledger,
    rules: Sequence[Rule],
    engine: Engine,
) -> list[Job]:
    """The jobs that rules leave to be done; what rules decide is entered in the ledger, of finished episodes, too.

    An episode that cannot be measured is left to the conversion, which says why.

    Args:
        jobs: what is to be converted unless a rule is against it: also what rules were against before.
        selected: all episodes of the run.
    """
    if not rules:
        return jobs
    by_key = {job.key: job for job in jobs}
    for episode in selected:
        entry = ledger.entries.get(episode.key)
        if entry is not None and entry.status == DONE:
            by_key[entry.key] = Job(episode, entry.key, entry.clip, entry.source_state)
    num_finished, left_out = 0, set()
    for job, measured in _measured(list(by_key.values()), loader, ledger, names(rules), engine):
        before = ledger.entries.get(job.key)
        rule = first_broken(rules, measured)
        is_done = before is not None and before.status == DONE
        if rule is not None:
            entry = Entry.of_measures(job, measured)._replace(
                status=SKIPPED,
                reason=f"{FILTERED}{rule}",
                message=one_line(f"{job.key}: {rule.measure} is {measured[rule.measure]}"),
            )
            left_out.add(job.key)
            num_finished += is_done
        elif before is not None and is_done:
            entry = before._replace(measures=tuple(measured.items()))
        else:
            entry = Entry.of_measures(job, measured)
        if entry != before:
            ledger.append(entry)
        if ledger.is_flush_due:
            ledger.flush()
    if num_finished:
        logger.warning(f"Warning: {num_finished} finished trajectories are left out now: a rule is against them")
    return [job for job in jobs if job.key not in left_out]


def _measured(
    jobs: Sequence[Job], loader: DatasetLoader, ledger: Ledger, wanted: frozenset[str], engine: Engine
) -> Iterator[tuple[Job, Measured]]:
    """The jobs that can be converted as far as is seen without video, with what is wanted of their measures, and what
    else the ledger knows."""
    open_jobs = []
    for job in jobs:
        known = _known(job, ledger)
        if wanted <= known.keys():
            yield job, known
        else:
            open_jobs.append(job)
    if not open_jobs:
        return
    from dataset_upload.catalogue.measuring import Measuring

    with closing(engine.run(Measuring(loader), open_jobs)) as outcomes:
        for job, outcome in progress(outcomes, "Measuring episodes", total=len(open_jobs)):
            if not isinstance(outcome, EpisodeError) and outcome["reason"] is None:
                yield job, {**_known(job, ledger), **{name: outcome[name] for name in sorted(wanted)}}


def _known(job: Job, ledger: Ledger) -> Measured:
    """The measures that the ledger has of an episode's files as they are now."""
    entry = ledger.entries.get(job.key)
    return dict(entry.measures) if entry is not None and entry.source_state == job.source_state else {}
