"""What all checks find in a dataset."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from dataset_upload.console.progress import progress
from dataset_upload.errors import StoppedError, one_line
from dataset_upload.formats.checks import Check, Checks
from dataset_upload.formats.each_trajectory import Lost, each_trajectory
from dataset_upload.formats.finished_dataset import FinishedDataset

_OFFENDERS_SHOWN = 5


@dataclass
class Finding:
    """What one check has found.

    Attributes:
        check: its name.
        holds: what holds if it passed.
        outcome: "pass", "fail" or "skip"; skipped is what needs the ledger, in a copy from the Hub, which has none.
        measured: the number that decided, with its unit; empty where there is none.
        num_offenders: how many things are wrong.
        offenders: the first of them, one line each.
    """

    check: str
    holds: str
    outcome: str = "pass"
    measured: str = ""
    num_offenders: int = 0
    offenders: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, check: Check, *, skip: bool) -> Finding:
        return cls(check.__name__, (check.__doc__ or "").splitlines()[0].rstrip("."), "skip" if skip else "pass")

    def add(self, offenders: Iterator[str], where: str = "") -> None:
        """Run a check to its end. What it cannot cope with in a broken dataset is an offender, too."""
        if self.outcome == "skip":
            return
        try:
            for offender in offenders:
                self.note(where + offender)
        except Exception as error:
            self.note(where + describe(error))

    def note(self, offender: str) -> None:
        """Count one thing that is wrong."""
        self.outcome = "fail"
        self.num_offenders += 1
        if len(self.offenders) < _OFFENDERS_SHOWN:
            self.offenders.append(offender)

    def merge(self, more: Finding) -> None:
        """Take in what the same check has found elsewhere."""
        self.outcome = more.outcome
        self.num_offenders += more.num_offenders
        self.offenders += more.offenders[: _OFFENDERS_SHOWN - len(self.offenders)]


def validate(
    dataset: FinishedDataset, checks: Checks, sample_size: int | None, num_workers: int = -1
) -> Iterator[Finding]:
    """Run every check.

    Args:
        dataset: to check.
        checks: of its format.
        sample_size: how many trajectories to look into; None: all.
        num_workers: processes that look into them; as `each_trajectory`.

    Yields:
        A finding for each check, those of the whole dataset first.
    """
    for check in checks.of_dataset:
        finding = Finding.of(check, skip=_is_skipped(check, checks, dataset))
        finding.add(check(dataset))
        yield finding
    yield from _look_into_trajectories(dataset, checks, sample_size, num_workers)


def _is_skipped(check: Check, checks: Checks, dataset: FinishedDataset) -> bool:
    return dataset.is_copy and check.__name__ in checks.need_ledger


def _look_into_trajectories(
    dataset: FinishedDataset, checks: Checks, sample_size: int | None, num_workers: int
) -> list[Finding]:
    """The findings of the checks of single trajectories; each trajectory is read, and its clip decoded, once."""
    findings = [Finding.of(check, skip=_is_skipped(check, checks, dataset)) for check in checks.of_trajectory]
    made = [finding for finding in findings if finding.outcome != "skip"]
    try:
        numbers = range(len(dataset)) if sample_size is None else dataset.spread(sample_size)
        found = each_trajectory(partial(_failures, checks), dataset, numbers, num_workers=num_workers)
        for failures in progress(found, "Looking into trajectories", total=len(numbers)):
            for finding in made:
                if isinstance(failures, Lost):
                    finding.note(f"{failures.source}: {failures.error}")
                elif finding.check in failures:
                    finding.merge(failures[finding.check])
    except StoppedError:
        raise
    except Exception as error:  # the tables cannot be read: nobody knows whether anything holds
        for finding in made:
            finding.note(describe(error))
    return findings


def _failures(checks: Checks, dataset: FinishedDataset, numbers: Sequence[int]) -> list[dict[str, Finding]]:
    """Of each of these rows, what is wrong with its trajectory, by the name of the check."""
    failures = []
    for trajectory in dataset.trajectories(numbers):
        case = checks.case(dataset, trajectory)
        findings = [Finding.of(check, skip=_is_skipped(check, checks, dataset)) for check in checks.of_trajectory]
        for check, finding in zip(checks.of_trajectory, findings, strict=True):
            finding.add(check(case), where=f"{trajectory.source}: ")
        failures.append({finding.check: finding for finding in findings if finding.outcome == "fail"})
    return failures


def describe(error: Exception) -> str:
    """One line from an error that a check has met."""
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return f"cannot be checked: {type(error).__name__}: {' '.join(str(error).split())}"


def print_table(findings: Sequence[Finding]) -> None:
    """Print a line for each check, below a failed one its first offenders."""
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        outcome = "FAIL" if finding.outcome == "fail" else finding.outcome
        print(f"{outcome}  {finding.check:<{width}}  {finding.holds}{finding.measured and f': {finding.measured}'}")
        for offender in finding.offenders:
            print(f"      - {one_line(offender)}")
        if finding.num_offenders > len(finding.offenders):
            print(f"      - and {finding.num_offenders - len(finding.offenders):,} more")
