"""The model's masks and sizes, the losses by numbers computed by hand."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch", reason="needs the extra train")

import torch

from reward_model.losses import compute_losses, two_hot
from reward_model.model import Judgement, RewardModel
from reward_model.samples import Batch

BINS = 5


@pytest.fixture(scope="module")
def model() -> RewardModel:
    torch.manual_seed(0)
    model = RewardModel("small", feature_dim=24, progress_bins=BINS).eval()
    for parameter in model.parameters():  # weights that make every input matter
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def views(count: int = 3, frames: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(count, 384), torch.randn(count, frames, 24)


@torch.no_grad()
def judge(model: RewardModel, texts: torch.Tensor, frames: torch.Tensor, lengths: list[int]) -> Judgement:
    judgement: Judgement = model(texts, frames, torch.tensor(lengths))
    return judgement


@pytest.mark.parametrize(("size", "millions"), [("small", 0.5), ("base", 13)])
def test_the_sizes_are_what_they_are_said_to_be(size: str, millions: float) -> None:
    model = RewardModel(size, feature_dim=768, progress_bins=21)

    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(millions * 1e6, rel=0.15)


def test_padding_changes_nothing(model: RewardModel) -> None:
    texts, frames = views()
    alone = judge(model, texts, frames[:, :5], [5, 5, 5])
    spoilt = frames.clone()
    spoilt[:, 5:] = 1e4
    padded = judge(model, texts, spoilt, [5, 5, 5])

    assert torch.allclose(padded.progress_logits[:, :5], alone.progress_logits, atol=1e-4)
    assert torch.allclose(padded.success_logits[:, :5], alone.success_logits, atol=1e-4)
    assert torch.allclose(padded.preference, alone.preference, atol=1e-4)


def test_later_frames_do_not_change_earlier_judgements(model: RewardModel) -> None:
    texts, frames = views()
    before = judge(model, texts, frames, [8, 8, 8])
    frames[:, 4] = torch.randn(3, 24)
    after = judge(model, texts, frames, [8, 8, 8])

    assert torch.equal(before.progress_logits[:, :4], after.progress_logits[:, :4])
    assert not torch.allclose(before.progress_logits[:, 4:], after.progress_logits[:, 4:], atol=1e-3)


def test_views_do_not_see_each_other(model: RewardModel) -> None:
    texts, frames = views()
    before = judge(model, texts, frames, [8, 8, 8])
    texts[1] += 1
    frames[1] += 1
    after = judge(model, texts, frames, [8, 8, 8])

    assert torch.allclose(before.preference[[0, 2]], after.preference[[0, 2]], atol=1e-5)
    assert abs(before.preference[1] - after.preference[1]) > 1e-3


def test_the_text_matters(model: RewardModel) -> None:
    texts, frames = views()

    assert not torch.allclose(
        judge(model, texts, frames, [8] * 3).progress_logits, judge(model, -texts, frames, [8] * 3).progress_logits
    )


def test_progress_is_the_mean_of_the_bins() -> None:
    logits = torch.tensor([[[math.log(0.25), -99.0, -99.0, -99.0, math.log(0.75)]]])

    assert Judgement(logits, torch.zeros(1, 1), torch.zeros(1)).progress.item() == pytest.approx(0.75)


# Losses ----------------------------------------------------------------------------------------------------


def test_two_hot_shares_a_value_between_its_neighbours() -> None:
    hot = two_hot(torch.tensor([0.0, 0.3, 1.0]), BINS)

    assert torch.allclose(hot, torch.tensor([[1, 0, 0, 0, 0], [0, 0.8, 0.2, 0, 0], [0, 0, 0, 0, 1.0]]), atol=1e-6)


def batch_of(progress: list[list[float]], success: list[list[float]], lengths: list[int]) -> Batch:
    count, longest = len(progress), len(progress[0])
    return Batch(
        texts=torch.zeros(count, 384),
        frames=torch.zeros(count, longest, 24),
        lengths=torch.tensor(lengths),
        progress=torch.tensor(progress),
        success=torch.tensor(success),
    )


def judgement_of(batch: Batch, preference: list[float]) -> Judgement:
    count, longest = batch.progress.shape
    logits = torch.zeros(count, longest, BINS)
    logits[0, 0, 0] = math.log(4)  # says that progress is 0 with probability 1/2
    success = torch.zeros(count, longest)
    success[0, 1] = math.log(3)  # says that it is done with probability 3/4
    return Judgement(logits, success, torch.tensor(preference))


def test_losses_are_means_over_real_frames_and_pairs() -> None:
    batch = batch_of([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]], [2, 1])
    losses = compute_losses(judgement_of(batch, [math.log(3), 0.0]), batch)

    # Three real frames: one says its truth with probability 1/2, two with 1/5.
    assert losses.progress.item() == pytest.approx((math.log(2) + 2 * math.log(5)) / 3)
    # The frame that is done says so with probability 3/4, the two that are not with 1/2.
    assert losses.success.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    # The chosen view wins with probability 3/4.
    assert losses.preference.item() == pytest.approx(math.log(4 / 3))


def test_padding_has_no_loss() -> None:
    progress, success = [[0.5, 1.0], [0.0, 0.0]], [[0.0, 1.0], [0.0, 0.0]]
    batch = batch_of(progress, success, [2, 2])
    longer = batch_of([[*row, 0.0, 0.0] for row in progress], [[*row, 0.0, 0.0] for row in success], [2, 2])
    spoilt = judgement_of(longer, [1.0, 2.0])
    spoilt.progress_logits[:, 2:] = 50 * torch.randn(2, 2, BINS)
    spoilt.success_logits[:, 2:] = 50.0

    expected = compute_losses(judgement_of(batch, [1.0, 2.0]), batch)
    assert torch.allclose(torch.stack(list(compute_losses(spoilt, longer))), torch.stack(list(expected)))


def test_rank_shares_add_up_to_the_loss_of_the_whole_step() -> None:
    torch.manual_seed(0)
    progress, success = torch.rand(4, 3), (torch.rand(4, 3) > 0.5).float()
    whole = Batch(torch.zeros(4, 384), torch.zeros(4, 3, 24), torch.tensor([3, 1, 2, 3]), progress, success)
    judgement = Judgement(torch.randn(4, 3, BINS), torch.randn(4, 3), torch.randn(4))
    shares = [slice(0, 2), slice(2, 4)]
    counts: list[torch.Tensor] = []

    def remember(count: torch.Tensor) -> torch.Tensor:
        counts.append(count)
        return count

    def part(share: slice, sum_over_ranks: object) -> torch.Tensor:
        batch = Batch(*(tensor[share] for tensor in whole))
        losses = compute_losses(Judgement(*(tensor[share] for tensor in judgement)), batch, sum_over_ranks)  # type: ignore[arg-type]
        return torch.stack(list(losses))

    _ = [part(share, remember) for share in shares]
    parts = [part(share, lambda _: sum(counts)) for share in shares]

    assert torch.allclose(parts[0] + parts[1], torch.stack(list(compute_losses(judgement, whole))))
