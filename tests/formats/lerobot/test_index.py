"""Where episodes are follows from their list alone."""

from __future__ import annotations

from itertools import pairwise

import pytest

from dataset_upload.formats.lerobot import index
from dataset_upload.formats.lerobot.index import EpisodeFacts, Place, place_episodes

H264 = "h264 256x256 0123456789ab"
EPISODES = [EpisodeFacts(length, 1000 * length, f"task {length % 3}", H264) for length in (30, 10, 20, 50, 10, 40, 7)]


def places(episodes: list[EpisodeFacts] = EPISODES, *, is_packed: bool = True) -> list[Place]:
    return list(place_episodes(episodes, 100, is_packed=is_packed, tasks={}))


@pytest.fixture(autouse=True)
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "VIDEO_BYTES", 60_000)
    monkeypatch.setattr(index, "DATA_BYTES", 50_000)


def test_frames_are_numbered_through_the_whole_and_through_each_video() -> None:
    found = places()
    assert [place.first_row for place in found] == [0, 30, 40, 60, 110, 120, 160]
    assert [(place.video_file, place.first_frame) for place in found] == [
        (0, 0), (0, 30), (0, 40), (1, 0), (1, 50), (2, 0), (2, 40)
    ]  # fmt: skip
    assert [(place.data_file, place.data_group) for place in found] == [
        (0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (3, 0)
    ]  # fmt: skip


def test_what_is_added_moves_nothing_that_is_there() -> None:
    for count in range(len(EPISODES)):
        assert places(EPISODES[:count]) == places()[:count]


def test_tasks_are_numbered_as_they_come() -> None:
    tasks: dict[str, int] = {}
    found = list(place_episodes(EPISODES, 100, is_packed=True, tasks=tasks))
    assert list(tasks) == ["task 0", "task 1", "task 2"]
    assert [place.task for place in found] == [0, 1, 2, 2, 1, 1, 1]


def test_an_episode_larger_than_a_file_has_one_of_its_own() -> None:
    found = places([EpisodeFacts(length, size, "a", H264) for length, size in ((5, 10), (500, 10**6), (5, 10))])
    assert [place.video_file for place in found] == [0, 1, 2]


def test_what_is_coded_otherwise_begins_a_video() -> None:
    found = places([EpisodeFacts(5, 10, "a", coding) for coding in (H264, H264, "other", H264, H264)])
    assert [(place.video_file, place.first_frame) for place in found] == [(0, 0), (0, 5), (1, 0), (2, 0), (2, 5)]


def test_unpacked_each_episode_has_its_own_files() -> None:
    found = places(is_packed=False)
    assert all(place.data_file == place.video_file == place.episode for place in found)
    assert all(place.data_group == place.first_frame == 0 for place in found)
    assert all(later.first_row == place.first_row + place.length for place, later in pairwise(found))
