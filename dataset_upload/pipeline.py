"""A run of the converter, top to bottom: episodes, jobs, pieces, ledger, dataset."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from logging import ERROR, WARNING
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dataset_upload.config import GenerateConfig, OutputConfig
from dataset_upload.console.logs import logger
from dataset_upload.console.progress import progress
from dataset_upload.conversion import Conversion
from dataset_upload.dataset_folder import LEDGER, dataset_lock, empty, incoming_folder
from dataset_upload.dataset_loaders import DatasetLoader, make_loader
from dataset_upload.engines import Engine, find_engine
from dataset_upload.errors import EpisodeError, StoppedError, UsageError
from dataset_upload.filtering import check_rules, left_by_rules
from dataset_upload.formats import DatasetWriter, Format, find_format, format_of
from dataset_upload.jobs import Job, Piece
from dataset_upload.ledger import DONE, FAILED, Entry, Ledger
from dataset_upload.ledger_header import Origin, check_header
from dataset_upload.quality.filters import make_rules, yields
from dataset_upload.selection import choose_tasks, select_round_robin
from dataset_upload.shard import Shard, as_ranges
from dataset_upload.shard_ledgers import (
    ShardLedger,
    absorb,
    check_same_numbers,
    ledger_paths,
    not_ended,
)
from dataset_upload.storage.locks import exclusive_lock
from dataset_upload.storage.placing import in_threads
from dataset_upload.summary import Work, summarise
from dataset_upload.video.preparation import prepare

if TYPE_CHECKING:
    from dataset_upload.hub.access import HubRepo


def generate(config: GenerateConfig) -> int:
    """Convert and push as configured; returns how many of the selected episodes failed and files differ on the Hub.

    Raises:
        UsageError: the run cannot begin, or the result cannot be pushed as configured; no finished work was touched.
        StoppedError: nothing more can be written, or the push did not complete. Like any interruption it costs only
            the episodes in work.
    """
    start = time.monotonic()
    settle_decode_scale(config.output)
    shard = None if config.output.shard is None else Shard.parse(config.output.shard)
    folder = Path(config.output.output_dir).expanduser() / config.dataset.dataset_name
    # Whatever can be refused is refused before there is work to lose, and leaves nothing behind.
    loader, output_format = make_loader(config), find_format(config.output.format)
    check_place(folder, loader.local_sources())
    check_one_format(folder.parent, output_format)
    output_format.check_place(folder)
    output_format.check_source(config, loader.about, loader.action_names)
    rules = make_rules(config.quality.filters)
    check_rules(loader, rules)
    if not config.output.overwrite:
        with stop_when_unwritable(folder):
            for path in (folder / LEDGER, *ledger_paths(folder)):
                check_header(path, *row_settings(config, output_format))
    forbidden = loader.about.publishing_forbidden
    repo = find_repo_if_asked(config, forbidden)
    if is_to_draw(config) or not os.path.exists(folder / LEDGER):
        output_format.check_ready()
    draw_mini_egodex_if_asked(config)
    limit = config.output.max_trajectories
    selected = select_round_robin(choose_tasks(loader.list_episodes(), config.dataset.tasks), limit)
    work = Work(archive_bytes=loader.remote_bytes(selected))

    part = loader.only_part(selected)
    with (
        stop_when_unwritable(folder),
        dataset_lock(folder, shard),
        open_ledger(folder, config, output_format, part, shard) as ledger,
    ):
        writer = output_format.open_writer(folder, config, loader.about, loader.action_names)
        check_same_naming(selected, ledger, folder)
        make_repo_if_asked(repo, config, forbidden)

        logger.info(f"Will process up to {len(selected) if limit in (None, -1) else limit} trajectories")
        logger.info("")
        numbers = ledger.clip_numbers([episode.key for episode in selected])
        num_selected = len(selected)
        if shard is None:
            writer.recover()
            reopen_lost(ledger, writer)
        else:
            check_same_numbers(ledger, numbers, folder)
            selected = [episode for episode in selected if shard.has(numbers[episode.key])]
        jobs = make_jobs(selected, numbers, loader, ledger)
        jobs = left_by_rules(jobs, selected, loader, ledger, rules, find_engine(config.output))
        num_tasks = len({episode.task_name for episode in selected})
        share = "" if shard is None else f"; shard {shard} of {num_selected}"
        logger.info(f"Found {len(selected)} episodes of {num_tasks} tasks{share}")

        is_whole = not jobs or convert_all(jobs, loader, output_format, ledger, writer, config, work)
        if is_whole and shard is None:
            writer.finish(ledger)
        entries = [ledger.entries[episode.key] for episode in selected if episode.key in ledger.entries]
        work.fetched_bytes += loader.take_fetched_bytes()  # those of this process: the archive's directory
        following = what_follows(folder, shard, numbers, output_format.loading(folder), is_whole=is_whole)
        removals = yields(rules, (dict(entry.measures) for entry in entries))
        summarise(entries, time.monotonic() - start, folder, work, following, removals)
        num_failed = sum(entry.status == FAILED for entry in entries)
        num_different = push_dataset(repo, folder, config) if repo is not None and is_whole else 0
        return num_failed + num_different


def what_follows(folder: Path, shard: Shard | None, numbers: Mapping[str, int], loading: str, *, is_whole: bool) -> str:
    """What to do after a run, in one line."""
    if not is_whole:
        return "the same command goes on"
    if shard is None:
        return loading
    finish = f"the same command without --output.shard={shard} finishes the dataset"
    missing = not_ended(folder, shard, numbers)
    if not missing:
        return f"all {shard.count} shards have ended here; {finish}"
    return f"--array={as_ranges(missing)} of {shard.count} shards have not ended here; after them {finish}"


def settle_decode_scale(output: OutputConfig) -> None:
    """Take what is left of a choice that there once was: frames are decoded at full size, whatever is asked for."""
    if output.decode_scale != "exact":
        logger.info(
            f"--output.decode_scale={output.decode_scale} is no longer needed: decoding at full size costs less than "
            "at half size did, and is what is done"
        )
        output.decode_scale = "exact"


def check_place(folder: Path, sources: Iterable[Path]) -> None:
    """Raises UsageError where a dataset's folder would lie in the source's data, or around it."""
    place = Path(os.path.realpath(folder))
    for source in sources:
        real_source = Path(os.path.realpath(source))
        if place.is_relative_to(real_source):
            raise UsageError(
                f"--output.output_dir: {folder} lies in the source {source}, where nothing is written; give a folder "
                "outside it"
            )
        if real_source.is_relative_to(place):
            raise UsageError(
                f"--dataset.dataset_name: the source {source} lies in {folder}, which is for what is made of it; "
                "choose another name"
            )


def check_one_format(output_dir: Path, output_format: Format) -> None:
    """Raises UsageError where a folder, which becomes one repo of the Hub, has datasets of another format."""
    for folder in sorted(output_dir.iterdir()) if output_dir.is_dir() else ():
        found = format_of(folder)
        if found is not None and found.name != output_format.name:
            raise UsageError(
                f"{output_dir} has datasets of the format {found.name}, {folder.name} for one, and a folder has one "
                "format; give another",
                "output_dir",
            )


def find_repo_if_asked(config: GenerateConfig, forbidden: str | None) -> HubRepo | None:
    """The repo to push to; it need not exist yet, but if it does, it may be written to. A shard pushes nothing.

    Args:
        forbidden: why the result must not be public; None: it may be.
    """
    if not config.hub.push_to_hub:
        return None
    if config.output.shard is not None:
        logger.info("A shard pushes nothing: the run without --output.shard does")
        return None
    from dataset_upload.hub.access import find_usable_repo  # only now: the Hub's client is slow to import

    return find_usable_repo(config.hub, forbidden)


def make_repo_if_asked(repo: HubRepo | None, config: GenerateConfig, forbidden: str | None) -> None:
    """Make the repo to push to, if it does not exist."""
    if repo is not None:
        from dataset_upload.hub.access import make_repo

        make_repo(repo, config.hub, forbidden)


def push_dataset(repo: HubRepo, folder: Path, config: GenerateConfig) -> int:
    """Push a finished dataset; returns how many files differ on the Hub."""
    from dataset_upload.hub.push import push

    return push(repo, [folder], config.hub)


def is_to_draw(config: GenerateConfig) -> bool:
    """Whether the demo's input is asked for, and no earlier run has drawn it."""
    return config.dataset.mini_episodes > 0 and not os.path.exists(_mini_egodex_path(config))


def draw_mini_egodex_if_asked(config: GenerateConfig) -> None:
    """Draw the demo's input, unless an earlier run has."""
    if not is_to_draw(config):
        return
    from dataset_upload.mini_egodex.part import make_mini_egodex

    path = _mini_egodex_path(config)
    being_drawn, lock = path.with_name(f"{path.name}.tmp"), path.with_name(f"{path.name}.lock")
    with stop_when_unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(lock, wait=True):  # shards begin together
            if is_to_draw(config):
                logger.info(f"Drawing a miniature EgoDex of {config.dataset.mini_episodes} episodes in {path}")
                shutil.rmtree(being_drawn, ignore_errors=True)
                make_mini_egodex(being_drawn, episodes=config.dataset.mini_episodes, frames=(45, 90), progress=True)
                being_drawn.rename(path)
            lock.unlink(missing_ok=True)


def _mini_egodex_path(config: GenerateConfig) -> Path:
    assert isinstance(config.dataset.dataset_path, str)  # check_config has seen to it
    return Path(config.dataset.dataset_path).expanduser()


@contextmanager
def stop_when_unwritable(folder: Path) -> Iterator[None]:
    """Make what the operating system refuses, because the disk is full say, a resumable stop. Raises StoppedError."""
    try:
        yield
    except OSError as error:
        raise StoppedError(f"Cannot write {folder}: {error.strerror or error}") from error


def open_ledger(
    folder: Path, config: GenerateConfig, output_format: Format, part: str | None, shard: Shard | None
) -> Ledger:
    """The shard's ledger; or the dataset's, with what shards have done.

    With `output.overwrite`, a dataset of other settings or another part is deleted first.
    """
    path = folder / LEDGER
    origin = Origin(*row_settings(config, output_format), part)
    any_cpu = config.output.any_cpu
    if shard is not None:
        return ShardLedger(folder, shard, origin, any_cpu=any_cpu)
    try:
        ledger = Ledger(path, *origin, any_cpu=any_cpu)
        absorb(ledger, folder, origin)
        return ledger
    except UsageError:
        if not config.output.overwrite:
            raise
    logger.warning(f"Warning: Replacing {folder}, which was made with other settings or of another part")
    output_format.withdraw(folder)
    empty(folder)
    path.unlink()  # last: until here an interrupted deletion is taken up again
    return Ledger(path, *origin, any_cpu=any_cpu)


def row_settings(config: GenerateConfig, output_format: Format) -> tuple[dict[str, Any], dict[str, Any]]:
    """What decides the bytes of rows, by the names of the options; and their defaults."""
    always = {
        "dataset.dataset_name": config.dataset.dataset_name,
        "dataset.loader": config.dataset.loader,
        "output.format": config.output.format,
    }
    default = GenerateConfig()
    defaults = {
        "dataset.loader": default.dataset.loader,
        "output.format": default.output.format,
        **output_format.settings(default),
    }
    return always | output_format.settings(config), defaults


def check_same_naming(selected: Sequence[Any], ledger: Ledger, folder: Path) -> None:
    """Raises UsageError where the source names its episodes otherwise, so that each would get a second row."""
    if len({key.count("/") for key in (*ledger.entries, *(episode.key for episode in selected))}) > 1:
        raise UsageError(
            f"--dataset.dataset_path: {folder} was made of one part and this names several, or the other way round; "
            "give another --dataset.dataset_name"
        )


def reopen_lost(ledger: Ledger, writer: DatasetWriter) -> None:
    """Reopen the episodes that the ledger calls done but whose row or clip is gone, deleted by hand say."""
    lost = writer.lost(ledger.with_status(DONE))
    if lost:
        logger.warning(f"Warning: {len(lost)} finished trajectories have lost row or clip and need converting again")
    for key in lost:
        ledger.reopen(key)


def make_jobs(selected: Sequence[Any], numbers: Mapping[str, int], loader: DatasetLoader, ledger: Ledger) -> list[Job]:
    """A job for each selected episode that is not settled; one that was done but has changed since is reopened."""
    jobs, num_changed = [], 0
    for episode in progress(selected, "Loading trajectories", total=len(selected)):
        source_state = loader.source_state(episode)
        if ledger.is_settled(episode.key, source_state):
            continue
        if episode.key in ledger.entries and ledger.entries[episode.key].status == DONE:
            ledger.reopen(episode.key)
            num_changed += 1
        jobs.append(Job(episode, episode.key, numbers[episode.key], source_state))
    if num_changed:
        logger.warning(f"Warning: {num_changed} finished trajectories are converted again: their files have changed")
    return jobs


def convert_all(
    jobs: list[Job],
    loader: DatasetLoader,
    output_format: Format,
    ledger: Ledger,
    writer: DatasetWriter,
    config: GenerateConfig,
    work: Work,
) -> bool:
    """Do the jobs and enter each outcome in the ledger; returns False if `output.fail_fast` ended it early."""
    output = config.output
    engine = find_engine(output)
    output_format.check_ready()
    ledger.flush()  # what is reopened, before it is replaced
    with work.timed(), incoming_folder(writer.folder, ledger.shard) as incoming:
        conversion = Conversion(
            loader,
            output_format.make_encoder(config, loader.about, incoming if engine.shares_disk else None),
            preload=(*loader.preload, *output_format.preload, "dataset_upload.video.preload"),
            check_ready=output_format.check_ready,
        )
        if output.num_workers == 0 and (line := prepare()) is not None:
            logger.info(line)
        with (
            closing(engine.run(conversion, jobs)) as outcomes,
            closing(placed(outcomes, ledger, writer, engine)) as settled,
        ):
            for count, (job, outcome) in enumerate(progress(settled, "Processing trajectories", total=len(jobs)), 1):
                if isinstance(outcome, EpisodeError):
                    ledger.append(Entry.of_error(job, outcome))
                    logger.log(WARNING if outcome.reason.is_skip else ERROR, str(outcome))
                    if output.fail_fast and not outcome.reason.is_skip:
                        return False
                else:
                    ledger.append(Entry.of_piece(job, outcome))
                    work.num_converted += 1
                    work.fetched_bytes += outcome.fetched_bytes
                    report(outcome, f"{job.key.replace('/', '_')} ({count}/{len(jobs)})")
                if ledger.is_flush_due:
                    writer.flush()
                    ledger.flush()
        writer.flush()
    return True


def placed(
    outcomes: Iterable[tuple[Job, Piece | EpisodeError]], ledger: Ledger, writer: DatasetWriter, engine: Engine
) -> Generator[tuple[Job, Piece | EpisodeError], None, None]:
    """The same jobs with what became of each, once its piece, if it may stay, is in its place. Raises UsageError."""

    def admitted() -> Iterator[tuple[Job, Piece | EpisodeError]]:
        for job, outcome in outcomes:
            if isinstance(outcome, Piece) and outcome.encoder_cpu is not None:
                ledger.admit(outcome.encoder_cpu)
            yield job, outcome

    def place(settled: tuple[Job, Piece | EpisodeError]) -> None:
        job, outcome = settled
        if isinstance(outcome, Piece):
            writer.place(job, outcome)

    if not engine.shares_disk:  # then files are written, and waited for, here
        yield from in_threads(place, admitted())
        return
    for settled in admitted():
        place(settled)
        yield settled


def report(piece: Piece, label: str) -> None:
    """The lines about one finished trajectory; all but warnings only with `output.verbose`."""
    if piece.note is not None:
        logger.warning(piece.note)
    logger.debug(f"Processed video: {piece.summary}")
    logger.debug(f"Created trajectory: {label}")
