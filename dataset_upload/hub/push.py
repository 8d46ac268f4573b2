"""A push of datasets to a repo of the Hugging Face Hub, and the comparison that verifies it."""

from __future__ import annotations

import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils import logging as hub_logging
from huggingface_hub.utils.tqdm import disable_progress_bars, enable_progress_bars

from dataset_upload.config import HubConfig, check_hub_options
from dataset_upload.console.logs import logger
from dataset_upload.dataset_folder import LEDGER, LOCK, WORK, has_been_written
from dataset_upload.errors import UsageError
from dataset_upload.formats import Card, format_of
from dataset_upload.hub.access import (
    CONFLICT,
    HubRepo,
    call_hub,
    exists,
    find_repo,
    find_usable_repo,
    hub_errors,
    make_repo,
)
from dataset_upload.hub.files import PushedDataset, as_pushed, check_limits, differences, list_files
from dataset_upload.storage.locks import LockedError, exclusive_lock
from dataset_upload.storage.retries import retry

CARD = "README.md"  # which the Hub shows

T = TypeVar("T")

_ATTEMPTS_AT_CONFLICTS = 21  # of a commit, while others commit
_MAX_LISTED_DIFFERENCES = 20


# Reading the repo


def _head(repo: HubRepo) -> str:
    return str(call_hub(lambda: repo.api.dataset_info(repo.repo_id)).sha)


def _read(repo: HubRepo, path: str, revision: str) -> bytes | None:
    """A small file of the repo; None if it has none of this name."""
    with tempfile.TemporaryDirectory() as cache:
        try:
            file = call_hub(
                lambda: repo.api.hf_hub_download(
                    repo.repo_id, path, repo_type="dataset", revision=revision, cache_dir=cache
                )
            )
        except RemoteEntryNotFoundError:
            return None
        return Path(file).read_bytes()


def _read_card(repo: HubRepo, revision: str) -> str | None:
    """The repo's card; None if it has none. Raises UsageError where it is not text."""
    content = _read(repo, CARD, revision)
    try:
        return None if content is None else content.decode()
    except UnicodeError as error:
        raise UsageError(f"{repo.url}: its {CARD} is not UTF-8 text; correct it") from error


# The steps of a push


def _retry_conflicts(step: Callable[..., T], *args: Any) -> T:
    """Do a step again when another push has committed meanwhile; the step must read the repo anew each time."""
    return retry(
        partial(step, *args),
        attempts=_ATTEMPTS_AT_CONFLICTS,
        pause_s=lambda _: random.uniform(0, 1),  # so that two pushes do not keep step
        may_pass=lambda error: isinstance(error, HfHubHTTPError) and error.response.status_code == CONFLICT,
    )


@contextmanager
def _progress_in_logs() -> Iterator[None]:
    """Where there is no terminal to draw bars on, let the Hub's client write a line now and then instead."""
    if sys.stderr.isatty():
        yield
        return
    verbosity = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.INFO)
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
        hub_logging.set_verbosity(verbosity)


def _send(repo: HubRepo, dataset: PushedDataset, paths: Iterable[str], what: str, outdated: Sequence[str] = ()) -> None:
    """Upload by the Hub's resumable path; it takes a folder, so it gets one of links to just these files."""
    staging = dataset.work / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for path in paths:
        link = staging / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(dataset.files[path].resolve())
    repo.api.upload_folder(
        repo_id=repo.repo_id,
        repo_type="dataset",
        folder_path=staging,
        commit_message=f"{what} of {dataset.folder.name}",
        delete_patterns=list(outdated) or None,
    )


def _send_clips(repo: HubRepo, dataset: PushedDataset) -> int:
    """Send the clips that the repo lacks; returns how many."""
    remote = list_files(repo)
    lacking = differences(dataset.plan.media, remote, "Comparing clips")
    if not lacking.keys().isdisjoint(remote):  # until the tables follow, old rows have new clips
        _take_off_card(repo, dataset)
    if lacking:
        _send(repo, dataset, lacking, "Clips")
    return len(lacking)


def _send_tables(repo: HubRepo, dataset: PushedDataset) -> int:
    """Send the tables that the repo lacks, by the commit that removes outdated ones; returns how many were sent."""
    remote = list_files(repo)
    lacking = differences(dataset.plan.tables, remote, "Comparing tables")
    outdated = dataset.plan.outdated_tables(remote)
    if lacking or outdated:
        _send(repo, dataset, lacking, "Tables", outdated)
    return len(lacking)


def _merge_cards(repo: HubRepo, datasets: Sequence[PushedDataset], revision: str) -> tuple[str, str]:
    """The repo's card as it is, and as it should be: with these datasets, those it lists, and all that others wrote."""
    card = _read_card(repo, revision)
    cards = datasets[0].cards
    base = cards.without_datasets(datasets[0].folder.parent) if card is None else card
    descriptions = {dataset.folder.name: dataset.description() for dataset in datasets}
    return card or "", _with_datasets(repo, cards, base, revision, descriptions)


def _with_datasets(
    repo: HubRepo,
    cards: Card,
    card: str,
    revision: str,
    descriptions: dict[str, dict[str, Any] | None],
    *,
    without: Sequence[str] = (),
) -> str:
    """A card with these datasets, by name, beside those that it lists already and that are still in the repo."""
    names = [name for name in cards.listed(card) if name not in descriptions and name not in without]
    contents = {name: _read(repo, cards.description_path(name), revision) for name in names}
    others = {name: cards.parse(content, name) for name, content in contents.items() if content is not None}
    gone = [*without, *sorted(contents.keys() - others.keys())]
    listed = descriptions | others
    known = [description for _, description in sorted(listed.items()) if description is not None]
    return cards.render(card, known, gone=gone, location=repo.repo_id)


def _take_off_card(repo: HubRepo, dataset: PushedDataset) -> None:
    """Have the repo's card name a dataset no longer, so that nobody loads it while it is not whole."""
    revision = _head(repo)
    card = _read_card(repo, revision)
    if card is not None and dataset.folder.name in dataset.cards.listed(card):
        shortened = _with_datasets(repo, dataset.cards, card, revision, {}, without=[dataset.folder.name])
        repo.api.create_commit(
            repo.repo_id,
            [CommitOperationAdd(CARD, shortened.encode())],
            commit_message=f"{dataset.folder.name} is being replaced",
            repo_type="dataset",
            parent_commit=revision,
        )


def _send_card(repo: HubRepo, datasets: Sequence[PushedDataset]) -> str:
    """Bring the card up to date, and remove clips that no table names any more; returns the revision that is left."""
    revision = _head(repo)
    remote = list_files(repo, revision)
    operations: list[CommitOperationAdd | CommitOperationDelete] = []
    for dataset in datasets:
        operations += [CommitOperationDelete(path) for path in dataset.plan.removals(remote)]
    card, wanted = _merge_cards(repo, datasets, revision)
    if card != wanted:
        operations.append(CommitOperationAdd(CARD, wanted.encode()))
    if not operations:
        return revision
    names = ", ".join(dataset.folder.name for dataset in datasets)
    commit = repo.api.create_commit(
        repo.repo_id,
        operations,
        commit_message=f"Card of {names}",
        repo_type="dataset",
        parent_commit=revision,
    )
    return commit.oid


def _verify(repo: HubRepo, datasets: Sequence[PushedDataset], revision: str) -> int:
    """Compare, report; returns the number of differences."""
    files = {path: file for dataset in datasets for path, file in dataset.files.items()}
    remote = list_files(repo, revision)
    found = differences(files, remote, "Verifying")
    for dataset in datasets:
        found |= dict.fromkeys(dataset.outdated(remote), "is left over from an earlier push")
    card, wanted_card = _merge_cards(repo, datasets, revision)
    if card != wanted_card:
        found[CARD] = "describes these datasets differently"

    for path, difference in list(found.items())[:_MAX_LISTED_DIFFERENCES]:
        logger.error(f"Different: {path} {difference}")
    if found:
        logger.error(f"Verified: {len(found)} of {len(files) + 1} files at {repo.url} differ; push again")
    else:
        num_bytes = sum(file.stat().st_size for file in files.values())
        logger.info(f"Verified: {len(files) + 1} files, {num_bytes / 1e6:.1f} MB; sizes and hashes are the same there")
    return len(found)


# The story


def push(repo: HubRepo, folders: Sequence[Path], options: HubConfig) -> int:
    """Bring datasets onto the Hub; returns the number of files that differ there afterwards, 0 if all went well.

    Args:
        repo: as `find_usable_repo` returned it; made if it does not exist.
        folders: of the datasets, in one output folder; nobody else must write to them meanwhile.
        options: how they shall look there.

    Raises:
        UsageError: a dataset is not complete, or is more than the Hub takes; nothing was sent.
        StoppedError: the push did not complete; the next one goes on where it was.
    """
    start = time.monotonic()
    with hub_errors(f"The push to {repo.repo_id} did not complete"), as_pushed(folders, repo, options) as datasets:
        remote = set(list_files(repo)) if exists(repo) else {".gitattributes"}  # which the Hub itself puts there
        _check_neighbours(repo, datasets, remote)
        for dataset in datasets:
            remote = remote.difference(dataset.outdated(remote)).union(dataset.files)
        check_limits(
            remote | {CARD}, repo.repo_id, "use several repos" if options.packed else datasets[0].plan.fewer_files
        )
        make_repo(repo, options, publishing_forbidden(folders))

        num_sent = 0
        with _progress_in_logs():
            for dataset in datasets:
                num_sent += _retry_conflicts(_send_clips, repo, dataset)
                num_sent += _retry_conflicts(_send_tables, repo, dataset)
            revision = _retry_conflicts(_send_card, repo, datasets)
        sent = f"{num_sent} new or changed files" if num_sent else "nothing new"
        logger.info(f"Pushed:   {sent} to {repo.url} in {time.monotonic() - start:.1f} s")
        num_different = _verify(repo, datasets, revision)
        if not num_different and (tag := datasets[0].plan.tag) is not None:
            _move_tag(repo, tag, revision)
        return num_different


def _check_neighbours(repo: HubRepo, datasets: Sequence[PushedDataset], remote: set[str]) -> None:
    """Raises UsageError where datasets cannot lie in one repo, or not in this one."""
    planned: set[str] = set()
    for dataset in datasets:
        plan = dataset.plan
        if not planned.isdisjoint(dataset.files):
            raise UsageError(
                f"{dataset.folder.parent} holds {len(datasets)} datasets that each take a repo of their own: push them "
                f"one by one, as {dataset.folder}"
            )
        planned |= dataset.files.keys()
        obstacle = plan.obstacle(remote, lambda path: _read(repo, path, _head(repo)) if path in remote else None)
        if obstacle is not None:
            raise UsageError(
                f"--hub.hub_repo_id: {dataset.folder.name} cannot go to {repo.repo_id}: {obstacle}; give another"
            )


def _move_tag(repo: HubRepo, tag: str, revision: str) -> None:
    """Have a tag name this revision, by which readers then find all that was pushed together."""
    refs = repo.api.list_repo_refs(repo.repo_id, repo_type="dataset")
    known = {each.name: each.target_commit for each in refs.tags}
    if known.get(tag) == revision:
        return
    if tag in known:
        repo.api.delete_tag(repo.repo_id, tag=tag, repo_type="dataset")
    repo.api.create_tag(repo.repo_id, tag=tag, revision=revision, repo_type="dataset")


def verify(repo: HubRepo, folders: Sequence[Path], options: HubConfig) -> int:
    """Compare datasets with what lies on the Hub, without changing anything; returns the number of differences.

    Raises:
        UsageError: the repo does not exist, or a dataset is not complete.
        StoppedError: the Hub does not answer.
    """
    with hub_errors(f"{repo.repo_id} cannot be read"):
        try:
            revision = _head(repo)
        except RepositoryNotFoundError as error:
            raise UsageError(f"--verify: there is no {repo.repo_id} that the access token may read") from error
    with hub_errors(f"{repo.repo_id} could not be verified"), as_pushed(folders, repo, options) as datasets:
        return _verify(repo, datasets, revision)


def publishing_forbidden(folders: Iterable[Path]) -> str | None:
    """Why datasets must not be public, by what they say of their sources; None: they may be."""
    for folder in folders:
        found = format_of(folder)
        try:
            forbidden: str | None = found.open(folder).description["about"]["publishing_forbidden"] if found else None
        except (OSError, LookupError, TypeError):
            return f"nothing tells what the licence of {folder.name} allows"
        if forbidden is not None:
            return forbidden
    return None


# What the command does with a folder of datasets


def push_or_verify(folder: Path, options: HubConfig, *, verify_only: bool) -> int:
    """Push the datasets of an output folder, or one dataset's, or compare them; returns how many files differ.

    Raises UsageError and StoppedError as `push` and `verify`.
    """
    check_hub_options(options)
    folders = _datasets(Path(os.path.abspath(folder.expanduser())))
    with ExitStack() as locks:
        for each in folders:
            if has_been_written(each):  # on a copy from the Hub no run is ever at work
                locks.enter_context(_lock(each))
        if verify_only:
            return verify(find_repo(options), folders, options)
        return push(find_usable_repo(options, publishing_forbidden(folders)), folders, options)


def _datasets(folder: Path) -> list[Path]:
    """The folders of the datasets below an output folder, or this one alone. Raises UsageError where there is none."""
    candidates = [folder, *sorted(folder.iterdir())] if folder.is_dir() else []
    found = [path for path in candidates if _is_described(path)]
    if not found:
        raise UsageError(f"{folder} holds no finished dataset; convert one first")
    for path in candidates:
        if path not in found and (path / LEDGER).exists():
            logger.warning(f"Warning: {path} is left out: its conversion is not finished")
    return found


def _is_described(folder: Path) -> bool:
    found = format_of(folder)
    return found is not None and (folder.parent / found.card.description_path(folder.name)).exists()


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    try:
        (folder / WORK).mkdir(exist_ok=True)
        with exclusive_lock(folder / WORK / LOCK, wait=False):
            yield
    except LockedError as error:
        raise UsageError(f"another run is at work on {folder}; wait for it") from error
    except OSError as error:
        raise UsageError(f"{folder} cannot be written ({error.strerror})") from error
