"""The ledger keeps every outcome whatever happens to its file, and says what a run still has to do."""

from __future__ import annotations

import json
import logging
import os
import random
import resource
from pathlib import Path

import pytest
from commands import in_fork
from output_folder import with_checksum

from dataset_upload.errors import UsageError
from dataset_upload.ledger import DONE, FAILED, SKIPPED, Entry, Ledger, read_entries

SETTINGS = {"output.max_frames": 32, "output.resize": "stretch"}

DONE_ENTRY = Entry(
    "fold/0",
    DONE,
    0,
    1000,
    (11, 12),
    note="cut to 30",
    clip_bytes=500,
    clip_sha256="ab" * 32,
    clip_cpu="AVX2",
    seconds=0.5,
)
SKIPPED_ENTRY = Entry("fold/1", SKIPPED, 1, 800, (21,), reason="missing mp4", message="Warning: Missing MP4 file")
FAILED_ENTRY = Entry("pour/0", FAILED, 2, 900, (31, 32), reason="nan poses", message="Error: NaN")
ENTRIES = {entry.key: entry for entry in (DONE_ENTRY, SKIPPED_ENTRY, FAILED_ENTRY)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of three episodes."""
    path = tmp_path / "ledger.jsonl"
    write(path, *ENTRIES.values())
    return path


def write(path: Path, *entries: Entry) -> None:
    with Ledger(path, SETTINGS) as ledger:
        for entry in entries:
            ledger.append(entry)


def read(path: Path) -> dict[str, Entry]:
    with Ledger(path, SETTINGS) as ledger:
        return dict(ledger.entries)


# What it keeps ---------------------------------------------------------------------------------------------


def test_what_is_written_is_read(path: Path) -> None:
    assert read(path) == ENTRIES


def test_a_line_holds_all_that_a_resumed_run_needs(path: Path) -> None:
    settings, done, _, failed = (json.loads(line) for line in path.read_text().splitlines())
    assert settings == {"format": 3, "part": None, "settings": SETTINGS}
    assert {key: done[key] for key in ("key", "status", "clip", "source_bytes", "source_versions")} == {
        "key": "fold/0",
        "status": "done",
        "clip": 0,
        "source_bytes": 1000,
        "source_versions": [11, 12],
    }
    assert done["clip_sha256"] == "ab" * 32
    assert failed["reason"] == "nan poses"


def test_the_last_line_about_an_episode_counts(path: Path) -> None:
    mended = FAILED_ENTRY._replace(status=DONE, reason=None, message=None)
    write(path, mended)
    assert read(path)["pour/0"] == mended


def test_it_is_only_ever_appended_to(path: Path) -> None:
    before = path.read_bytes()
    write(path, DONE_ENTRY._replace(key="fold/2"))
    assert path.read_bytes().startswith(before)


def test_a_line_is_in_the_file_as_soon_as_it_is_written(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.jsonl", SETTINGS) as ledger:
        ledger.append(DONE_ENTRY)
        assert b"fold/0" in (tmp_path / "ledger.jsonl").read_bytes()


def test_lines_are_flushed_to_disk_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    write(tmp_path / "ledger.jsonl", *(DONE_ENTRY._replace(key=f"fold/{number}") for number in range(1000)))
    assert 2 <= len(flushed) < 20  # the first line, the end, and one every two seconds in between


@pytest.mark.parametrize("key", ['fold/0 \n\t"x"', "wäsche/0", "折る/0", "fold/\udcff", "a" * 300])
def test_any_episode_name_comes_back(tmp_path: Path, key: str) -> None:
    write(tmp_path / "ledger.jsonl", DONE_ENTRY._replace(key=key))
    assert list(read(tmp_path / "ledger.jsonl")) == [key]


# What can happen to its file -------------------------------------------------------------------------------


def test_a_torn_last_line_is_ignored_wherever_it_is_torn(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(whole.rindex(b"\n", 0, -1) + 1, len(whole)):
        path.write_bytes(whole[:length])
        assert read(path) == {"fold/0": DONE_ENTRY, "fold/1": SKIPPED_ENTRY}


def test_what_is_written_after_a_torn_line_is_read(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 10)
    write(path, FAILED_ENTRY)
    assert read(path) == ENTRIES


def test_zeros_at_the_end_as_a_power_cut_leaves_them_are_ignored(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(4096))
    assert read(path) == ENTRIES
    write(path, DONE_ENTRY._replace(key="fold/2"))
    assert list(read(path)) == [*ENTRIES, "fold/2"]


def test_a_damaged_line_costs_only_its_episode_and_is_reported(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = b"\x00" * 20 + lines[2][20:]
    path.write_bytes(b"".join(lines))
    with caplog.at_level(logging.WARNING):
        assert read(path) == {"fold/0": DONE_ENTRY, "pour/0": FAILED_ENTRY}
    assert f"{path}, line 3 is damaged" in caplog.text


@pytest.mark.parametrize(
    "text",
    [
        *("{}", '{"key":"a/0"}', '{"source_versions":3}', "[]", '{"a":[' + 5000 * "["),
        '{"key":3,"status":"done","clip":0,"source_bytes":1,"source_versions":[1]}',
        '{"key":"a/0","status":"done","clip":"x","source_bytes":1,"source_versions":[1]}',
    ],
    ids=lambda text: text[:20],
)
def test_a_line_of_another_kind_is_damaged_whatever_its_checksum(path: Path, text: str) -> None:
    with path.open("ab") as file:
        file.write(with_checksum(text))
    assert read(path) == ENTRIES


def test_everyone_reads_the_same_out_of_a_damaged_ledger(path: Path) -> None:
    content = path.read_bytes()
    for place in range(content.index(b"\n") + 1, len(content), 7):
        path.write_bytes(content[:place] + b"\x07" + content[place + 1 :])
        entries = read_entries(path)
        assert entries == read(path)


def test_no_flipped_bit_changes_what_an_entry_says(path: Path) -> None:
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    rng = random.Random(0)
    for _ in range(500):
        damaged = bytearray(whole)
        damaged[rng.randrange(first_line, len(whole))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        entries = read(path)
        assert entries.items() <= ENTRIES.items()
        assert len(entries) >= 1  # a lost line break costs two


def test_a_line_that_a_full_disk_cut_short_is_torn(path: Path) -> None:
    """RLIMIT_FSIZE takes the first half of the line, as an almost full disk does, and refuses the rest."""

    def fill() -> int:
        limit = path.stat().st_size + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            write(path, DONE_ENTRY._replace(key="fold/2"))
        except OSError:
            return 3
        return 0

    before = path.stat().st_size
    assert in_fork(fill).exit_code == 3
    assert path.stat().st_size == before + 100
    assert read(path) == ENTRIES


@pytest.mark.parametrize("content", [b"", b'{"format": 1, "settin', b"\0" * 512])
def test_a_first_line_that_was_never_finished_is_written_anew(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read(path) == {}
    write(path, DONE_ENTRY)
    assert read(path) == {"fold/0": DONE_ENTRY}


def test_a_damaged_first_line_is_refused(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"format"', b"{'format'"))
    with pytest.raises(UsageError, match=r"restore it from a backup, or give `overwrite=true`") as refusal:
        read(path)
    assert "\n" not in str(refusal.value)


def test_a_ledger_of_the_earlier_order_is_taken_and_then_refused_by_earlier_versions(path: Path) -> None:
    before = path.read_bytes()
    path.write_bytes(before.replace(b'{"format":3', b'{"format":2'))
    entries = read(path)
    assert path.read_bytes() == before
    assert entries == read(path) and len(entries) == 3


def test_a_ledger_from_the_future_is_refused_and_left_alone(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'{"format":3', b'{"format":4'))
    before = path.read_bytes()
    with pytest.raises(UsageError, match="has format 4, this version of dataset_upload writes 3"):
        read(path)
    assert path.read_bytes() == before


# Settings --------------------------------------------------------------------------------------------------


def test_other_settings_are_refused_in_one_line_that_says_what_differs(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(UsageError) as refusal:
        Ledger(path, {**SETTINGS, "output.max_frames": 16})
    assert str(refusal.value) == (
        f"{path.parent} was made with other settings (`output.max_frames=32` there, 16 now); "
        "give `overwrite=true` to replace it, or another `dataset_name`"
    )
    assert path.read_bytes() == before


def test_a_setting_that_the_ledger_lacks_is_its_default(path: Path) -> None:
    before = path.read_bytes()
    with Ledger(path, {**SETTINGS, "output.new": 1}, {"output.new": 1}) as ledger:
        assert ledger.entries == ENTRIES
    with pytest.raises(UsageError, match=r"\(`output\.new=1` there, 2 now\)"):
        Ledger(path, {**SETTINGS, "output.new": 2}, {"output.new": 1})
    assert path.read_bytes() == before


def test_a_default_says_nothing_of_what_the_ledger_has(path: Path) -> None:
    with Ledger(path, SETTINGS, {"output.max_frames": 8}) as ledger:
        assert ledger.entries == ENTRIES


def test_a_setting_that_only_the_ledger_has_is_a_difference(path: Path) -> None:
    with pytest.raises(UsageError, match=r"`output\.resize=\"stretch\"` there, null now"):
        Ledger(path, {"output.max_frames": 32})


def test_the_order_of_settings_does_not_matter(path: Path) -> None:
    with Ledger(path, dict(reversed(SETTINGS.items()))) as ledger:
        assert ledger.entries == ENTRIES


# What is still to do ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "source_state", "settled"),
    [
        (DONE_ENTRY, (1000, (11, 12)), True),
        (SKIPPED_ENTRY, (800, (21,)), True),
        (FAILED_ENTRY, (900, (31, 32)), False),
        (DONE_ENTRY, (1001, (11, 12)), False),
        (DONE_ENTRY, (1000, (10, 12)), False),  # one file was replaced by an older one
        (DONE_ENTRY, (1000, (11, 13)), False),
        (SKIPPED_ENTRY, (800, (21, 22)), False),  # the missing file has arrived
        (DONE_ENTRY, (200, (11,)), True),  # a file is gone, and what was made of it stays
        (DONE_ENTRY, (0, ()), True),
        (SKIPPED_ENTRY, (0, ()), False),
        (FAILED_ENTRY, (0, ()), False),
    ],
)
def test_done_and_skipped_are_settled_while_their_files_stay_as_they_were(
    path: Path, entry: Entry, source_state: tuple[int, tuple[int, ...]], settled: bool
) -> None:
    with Ledger(path, SETTINGS) as ledger:
        assert ledger.is_settled(entry.key, source_state) is settled


def test_an_episode_that_it_does_not_know_is_to_do(path: Path) -> None:
    with Ledger(path, SETTINGS) as ledger:
        assert not ledger.is_settled("fold/9", (0, ()))


def test_a_reopened_episode_is_to_do_again_also_for_later_runs_and_keeps_its_clip_number(path: Path) -> None:
    with Ledger(path, SETTINGS) as ledger:
        ledger.reopen("fold/0")
    with Ledger(path, SETTINGS) as ledger:
        assert not ledger.is_settled("fold/0", DONE_ENTRY.source_state)
        assert list(ledger.with_status(DONE)) == []
        assert ledger.clip_numbers(["new", "fold/0"])["fold/0"] == 0


def test_the_digest_of_the_rows_does_not_depend_on_what_finished_first(tmp_path: Path) -> None:
    done = [DONE_ENTRY._replace(key=f"fold/{number}", clip=number) for number in range(3)]
    write(tmp_path / "one", *done)
    write(tmp_path / "two", *reversed(done))
    with Ledger(tmp_path / "one", SETTINGS) as one, Ledger(tmp_path / "two", SETTINGS) as two:
        assert one.rows_digest() == two.rows_digest()
        two.append(done[0]._replace(clip_sha256="cd" * 32))
        assert one.rows_digest() != two.rows_digest()
