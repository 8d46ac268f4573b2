"""What a step learns from: purity, truth, negatives, padding."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch
from tiny_dataset import FRAMES, write_datasets

from reward_model.data import Rows, load_rows
from reward_model.encoders import load_encoder
from reward_model.features import Features, cache_folder, clip_checksums, encode_missing
from reward_model.samples import Pair, TrainingPairs, View, Views, collate, there_and_back, thin


@pytest.fixture(scope="module")
def views(tmp_path_factory: pytest.TempPathFactory) -> Views:
    folder = tmp_path_factory.mktemp("samples")
    rows = load_rows(f"{write_datasets(folder / 'data', 'egodex_a')}/egodex_a")
    encoder, checksums = load_encoder("pixels16", torch.device("cpu")), clip_checksums(rows)
    encode_missing(rows, checksums, encoder, cache_folder(folder, encoder))
    return Views(rows, Features(cache_folder(folder, encoder), checksums), max_frames=8, max_text_similarity=0.9)


def training_pairs(views: Views, seed: int = 0) -> TrainingPairs:
    return TrainingPairs(views, np.arange(len(views.rows)), seed)


def same(a: Pair, b: Pair) -> bool:
    return all(
        (mine.row, mine.text, mine.noise) == (theirs.row, theirs.text, theirs.noise)
        and np.array_equal(mine.frames, theirs.frames)
        for mine, theirs in ((a.chosen, b.chosen), (a.rejected, b.rejected))
    )


# Purity ----------------------------------------------------------------------------------------------------


def test_a_pair_depends_on_seed_and_place_only(views: Views) -> None:
    first, second = training_pairs(views), training_pairs(views)
    _ = [second[place] for place in (90, 3, 55)]  # whatever was asked before

    assert same(first[40], second[40])
    assert not same(first[40], first[41])
    assert not same(first[40], training_pairs(views, seed=1)[40])


def test_an_epoch_goes_once_through_all_rows_in_an_order_of_its_own(views: Views) -> None:
    pairs, count = training_pairs(views), len(views.rows)
    epochs = [[pairs[epoch * count + i].chosen.row for i in range(count)] for epoch in range(2)]

    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(count))
    assert epochs[0] != epochs[1]


def test_ranks_share_a_step_between_them(views: Views) -> None:
    pairs = training_pairs(views)
    whole = pairs.batch(5, 8)
    shares = [pair for rank in range(2) for pair in pairs.batch(5, 8, rank, 2)]

    assert all(same(a, b) for a, b in zip(whole, shares, strict=True))


# Truth -----------------------------------------------------------------------------------------------------


def test_thinning_keeps_both_ends() -> None:
    assert thin(np.arange(10), 4).tolist() == [0, 3, 6, 9]
    assert thin(np.arange(3), 8).tolist() == [0, 1, 2]


def test_a_rewound_path_turns_once() -> None:
    assert there_and_back(2, 5, 3).tolist() == [2, 3, 4, 5, 4, 3]


def test_progress_is_the_place_in_the_clip(views: Views) -> None:
    view = views.view(0, np.array([0, 5, 11]))

    assert view.progress.tolist() == [0, np.float32(5 / 11), 1]
    assert view.success.tolist() == [0, 0, 1]


def by_way(views: Views) -> dict[str, list[Pair]]:
    pairs = training_pairs(views)
    found: dict[str, list[Pair]] = {}
    for place in range(300):
        found.setdefault(pairs[place].way, []).append(pairs[place])
    return found


def test_every_way_of_being_worse_occurs(views: Views) -> None:
    assert set(by_way(views)) == {"earlier", "rewound", "reversed", "other video", "other text"}


def test_the_chosen_view_is_true_and_ends_where_it_is_furthest(views: Views) -> None:
    for pairs in by_way(views).values():
        for pair in pairs:
            assert pair.chosen.text == views.rows.rows[pair.chosen.row].text
            assert np.allclose(pair.chosen.progress, pair.chosen.frames / (FRAMES - 1))
            assert pair.chosen.frames[-1] == pair.chosen.frames.max()


def test_chosen_views_run_forwards_turn_back_and_jump(views: Views) -> None:
    backward_steps = [(np.diff(pair.chosen.frames) < 0).sum() for pairs in by_way(views).values() for pair in pairs]
    runs = [np.diff(pair.chosen.frames) for pairs in by_way(views).values() for pair in pairs]

    assert 0 in backward_steps
    assert any(np.isin(run, [-1, 0, 1]).all() and (run < 0).any() for run in runs)  # a detour, frame by frame
    assert any((np.abs(run) > FRAMES // 2).any() and (run < 0).any() for run in runs)


@pytest.mark.parametrize("way", ["earlier", "rewound", "reversed"])
def test_a_worse_view_of_the_same_video_ends_with_less_progress(views: Views, way: str) -> None:
    for pair in by_way(views)[way]:
        assert pair.rejected.row == pair.chosen.row
        assert pair.rejected.text == pair.chosen.text
        assert pair.rejected.progress[-1] < pair.chosen.progress[-1]


@pytest.mark.parametrize("way", ["other video", "other text"])
def test_what_does_not_belong_together_shows_no_progress(views: Views, way: str) -> None:
    for pair in by_way(views)[way]:
        seen, told = views.rows.rows[pair.rejected.row], pair.rejected.text
        assert told != seen.text
        assert seen.task not in {row.task for row in views.rows.rows if row.text == told}
        assert not pair.rejected.progress.any()
        assert not pair.rejected.success.any()


def test_another_video_keeps_the_text_and_another_text_keeps_the_video(views: Views) -> None:
    for pair in by_way(views)["other video"]:
        assert (pair.rejected.text, pair.rejected.row == pair.chosen.row) == (pair.chosen.text, False)
    for pair in by_way(views)["other text"]:
        assert (pair.rejected.row, pair.rejected.text == pair.chosen.text) == (pair.chosen.row, False)


def test_a_text_that_says_nearly_the_same_is_no_negative(views: Views) -> None:
    vectors = views.rows.vectors.copy()
    vectors[:] = vectors[0]
    vectors[-1] = -vectors[0]  # one text that says something else
    alike = Views(Rows(views.rows.rows, views.rows.texts, vectors), views.features, 8, 0.9)
    told = {pair.rejected.text for way, pairs in by_way(alike).items() if way == "other text" for pair in pairs}

    assert len(views.rows.vectors) - 1 in told
    last_rows = {row.text for row in alike.rows.rows if alike.rows.similarity(row.text, len(vectors) - 1) < 0.9}
    assert told - {len(vectors) - 1} <= last_rows


def test_without_another_task_the_same_video_must_do(views: Views) -> None:
    one_task = np.array([i for i, row in enumerate(views.rows.rows) if row.task == "open_box"])
    pairs = TrainingPairs(views, one_task, 0)

    assert {pairs[place].way for place in range(60)} == {"earlier", "rewound", "reversed"}


# Batches ---------------------------------------------------------------------------------------------------


def test_a_batch_is_padded_at_the_end(views: Views) -> None:
    short, long = views.view(0, np.arange(2)), views.view(1, np.arange(5))
    batch = collate([short, long], views.rows, views.features)

    assert batch.frames.shape == (2, 5, views.features.dim)
    assert batch.lengths.tolist() == [2, 5]
    assert batch.real.tolist() == [[True, True, False, False, False], [True] * 5]
    assert not batch.frames[0, 2:].any()
    assert np.array_equal(batch.frames[0, :2].numpy(), views.features[0][:2].astype(np.float32))


def test_noise_is_the_views_own(views: Views) -> None:
    plain = views.view(0, np.arange(4))

    def seen(view: View) -> torch.Tensor:
        return collate([view], views.rows, views.features, noise=np.full(views.features.dim, 0.1, np.float32)).frames

    assert torch.equal(seen(plain._replace(noise=7)), seen(plain._replace(noise=7)))
    assert not torch.equal(seen(plain._replace(noise=7)), seen(plain._replace(noise=8)))
    assert torch.equal(seen(plain), collate([plain], views.rows, views.features).frames)
