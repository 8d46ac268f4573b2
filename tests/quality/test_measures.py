"""Each measure, on poses for which it is known what it must say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from made_tracking import FPS, JOINTS, TEXTS, made_tracking, moving, turned
from project import REAL_SAMPLE

from dataset_upload.actions.arkit import HAND_JOINTS
from dataset_upload.dataset_loaders.egodex.tracking import read_tracking
from dataset_upload.mini_egodex.motion import Performance
from dataset_upload.mini_egodex.scenes import set_scene
from dataset_upload.quality.measure import Value
from dataset_upload.quality.table import COLUMNS, MEASURES, measure_all
from dataset_upload.trajectory import Tracking

WRIST, KNUCKLE = HAND_JOINTS.index("Hand"), HAND_JOINTS.index("IndexFingerKnuckle")
OUT = 2.0  # metres to the side: out of the picture


def measured(*arguments: Any, **changed: Any) -> dict[str, Value]:
    return measure_all(made_tracking(*arguments, **changed))


def says(row: Mapping[str, Value], **expected: Any) -> None:
    """Fails unless these measures are that, floats within what their 24 bits allow."""
    assert {name: row[name] for name in expected} == {
        name: pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value
        for name, value in expected.items()
    }


# Nothing is wrong ---------------------------------------------------------------------------------------------------


def test_two_hands_at_rest_in_the_picture() -> None:
    says(
        measured(90),
        duration_s=3.0,
        frames=90,
        left_path_m=0.0,
        right_speed_mean=0.0,
        left_still=1.0,
        both_still=1.0,
        left_share_of_motion=None,
        working_hand="none",
        hands_overlap=None,
        idle_head_s=3.0,
        idle_tail_s=0.0,
        hands_in_frame=1.0,
        left_whole_in_frame=1.0,
        right_behind_camera=0.0,
        confidence_mean=1.0,
        jumps=0,
        first_jump=None,
        left_bone_change_mm=0.0,
        left_handedness=1.0,
        right_handedness=1.0,
        head_turn_mean=0.0,
        head_speed_mean=0.0,
        camera_share=None,
        text_usable=True,
        text_certain=True,
        text_placeholder=False,
        text_direction="forward",
    )


def test_an_episode_of_one_frame_has_no_speeds() -> None:
    row = measured(1)
    says(row, frames=1, left_path_m=0.0, left_speed_mean=None, head_turn_top=None, row0_repeated=None, jumps=0)
    says(row, left_holds=0, right_held=0.0, working_hand="none", hands_in_frame=1.0)


# Where hands are in the picture -------------------------------------------------------------------------------------


def test_a_hand_that_leaves_the_picture_after_a_third() -> None:
    away = np.zeros((90, 3))
    away[30:, 0] = -OUT
    row = measured(90, left=away)
    for name in ("in_frame", "whole_in_frame", "wrist_in_frame", "fingertip_in_frame"):
        says(row, **{f"left_{name}": 1 / 3, f"right_{name}": 1.0})
    says(row, left_first_in_frame=1.0, left_last_in_frame=0.0, right_last_in_frame=1.0, hands_in_frame=2 / 3)


def test_a_hand_cut_by_the_edge_shows_some_joints() -> None:
    tracking = made_tracking(10)
    hands = tracking.hands.copy()
    hands[1, :, WRIST, 1] = 1.0  # below the picture
    row = measure_all(replace(tracking, hands=hands))
    says(row, right_wrist_in_frame=0.0, right_whole_in_frame=0.0, right_fingertip_in_frame=1.0, right_in_frame=24 / 25)


def test_pixels_decide_where_the_picture_ends() -> None:
    # The principal point is in the middle, so a point at depth z is at the edge where x = z * 960 / 736.6339.
    edge = 0.5 * 960 / 736.6339
    for x, inside in ((edge - 1e-4, 1.0), (edge + 1e-4, 0.0)):
        says(measured(5, right=(x - 0.15, 0, 0)), right_wrist_in_frame=inside)


def test_a_hand_behind_the_camera_is_not_in_the_picture() -> None:
    says(measured(30, right=(0, 0, -1.0)), right_behind_camera=1.0, right_in_frame=0.0, left_behind_camera=0.0)


# How sure the tracker is --------------------------------------------------------------------------------------------


def test_confidences_of_fingers_and_wrist_are_told_apart() -> None:
    confidences = np.full((2, 40, JOINTS), 0.8)
    confidences[0, :, 1:7] = 0.05  # 6 of the left hand's 24 joints beside the wrist
    confidences[0, :, 7:13] = 0.3
    confidences[0, :10, WRIST] = 0.05
    row = measured(40, confidences=confidences)
    says(
        row,
        left_finger_confidence_mean=(6 * 0.05 + 6 * 0.3 + 12 * 0.8) / 24,
        left_finger_confidence_under_0_1=0.25,
        left_finger_confidence_under_0_5=0.5,
        left_wrist_confidence_mean=0.25 * 0.05 + 0.75 * 0.8,
        left_wrist_confidence_under_0_1=0.25,
        left_wrist_confidence_under_0_5=0.25,
        right_finger_confidence_under_0_5=0.0,
        right_wrist_confidence_mean=0.8,
        left_confidence_unknown=0.0,
        confidence_mean=float(confidences.mean()),
    )


def test_unknown_confidences_are_unknown_and_not_low() -> None:
    confidences = np.full((2, 40, JOINTS), 0.8)
    confidences[1, :, 1:6] = np.nan
    says(measured(40, confidences=confidences), right_confidence_unknown=0.2, right_finger_confidence_under_0_5=0.0)
    row = measure_all(replace(made_tracking(40), confidences=None))
    says(row, left_confidence_unknown=1.0, left_finger_confidence_mean=None, confidence_mean=None)
    says(row, right_wrist_confidence_under_0_1=None)


# Where the tracker slips --------------------------------------------------------------------------------------------


def test_a_jump_is_counted_where_it_arrives() -> None:
    away = np.zeros((60, 3))
    away[20:, 0] = -0.2  # 6 m/s
    away[40:, 0] = -0.35  # 4.5 m/s
    says(measured(60, left=away), jumps=1, left_hand_jumps=1, right_hand_jumps=0, first_jump=20)


def test_a_fingertip_alone_can_jump() -> None:
    tracking = made_tracking(60)
    hands = tracking.hands.copy()
    hands[1, 30, HAND_JOINTS.index("LittleFingerTip"), 2] += 0.2  # there and back
    says(measure_all(replace(tracking, hands=hands)), right_hand_jumps=2, first_jump=30)


@pytest.mark.parametrize(("degrees", "jumps"), [(30.0, 1), (28.0, 0)])  # 15.7 and 14.7 rad/s
def test_a_wrist_that_turns_too_fast_jumps(degrees: float, jumps: int) -> None:
    tracking = made_tracking(60)
    hands = tracking.hands + np.arange(60)[:, None, None] * np.float32(1e-4)  # no repeated rows
    wrists = tracking.wrists.copy()
    wrists[0] = turned(wrists[0], np.where(np.arange(60) >= 25, degrees, 0))
    says(measure_all(replace(tracking, hands=hands, wrists=wrists)), left_hand_jumps=jumps)


def test_what_the_tracker_catches_up_after_a_hold_is_no_jump() -> None:
    away = moving(60, first=0, last=59, metres_a_second=1.0)
    away[20:30] = away[20]  # held for ten frames, then 1/3 m further at one step: 10 m/s if it stood for one frame
    says(measured(60, right=away), jumps=0, right_holds=1, right_held=10 / 60, left_holds=1, left_held=1.0)


@pytest.mark.parametrize(("rows", "holds"), [(8, 1), (7, 0)])
def test_a_hold_has_eight_rows(rows: int, holds: int) -> None:
    away = moving(60, first=0, last=59, metres_a_second=0.5)
    away[20 : 20 + rows] = away[20]
    says(measured(60, right=away), right_holds=holds, right_held=holds * 8 / 60)


def test_a_repeated_first_row() -> None:
    away = moving(60, first=0, last=59, metres_a_second=0.5)
    says(measured(60, left=away, right=away), row0_repeated=False)
    away[0] = away[1]
    says(measured(60, left=away, right=away), row0_repeated=True)
    says(measured(60, left=away, right=moving(60, first=0, last=59, metres_a_second=0.5)), row0_repeated=False)


# What the hands do --------------------------------------------------------------------------------------------------


def test_one_hand_works_between_two_pauses() -> None:
    away = moving(120, first=30, last=90, metres_a_second=0.3)  # for two of four seconds
    row = measured(120, right=away)
    says(row, right_path_m=0.6, left_path_m=0.0, right_speed_mean=0.6 / 119 * FPS, right_speed_top=0.3)
    says(row, working_hand="right", left_share_of_motion=0.0, hands_overlap=0.0, left_still=1.0)
    # It is moving where it is displaced by 1.6 cm between 8 frames before and 8 after: 0.2 s more at each end.
    assert row["idle_head_s"] == pytest.approx(0.8, abs=0.05)
    assert row["idle_tail_s"] == pytest.approx(119 / 30 - 3.2, abs=0.06)
    assert row["right_still"] == row["both_still"] == pytest.approx(1 - 2.4 / 4, abs=0.02)


def test_hands_that_take_turns_do_not_overlap() -> None:
    left = moving(120, first=15, last=50, metres_a_second=0.3)
    right = moving(120, first=70, last=105, metres_a_second=0.3)
    says(measured(120, left=left, right=right), hands_overlap=0.0, working_hand="both", left_share_of_motion=0.5)
    says(measured(120, left=right, right=right), hands_overlap=1.0, working_hand="both")


def test_two_thirds_make_the_working_hand() -> None:
    right = moving(90, first=0, last=89, metres_a_second=0.1)
    for speed, hand in ((0.19, "both"), (0.22, "left")):
        left = moving(90, first=0, last=89, metres_a_second=speed)
        row = measured(90, left=left, right=right)
        says(row, working_hand=hand, left_share_of_motion=speed / (speed + 0.1))


def test_trembling_is_no_motion() -> None:
    tremble = np.random.default_rng(0).normal(0, 0.002, (90, 3))  # 2 mm a frame: 0.1 m/s from frame to frame
    row = measured(90, left=tremble)
    assert row["left_speed_mean"] > 0.08  # type: ignore[operator]
    says(row, left_still=1.0, working_hand="none")


def test_fingers_that_move_are_not_still() -> None:
    tracking = made_tracking(60)
    hands = tracking.hands.copy()
    hands[1, :, 1:] += moving(60, first=0, last=59, metres_a_second=0.05)[:, None]
    says(measure_all(replace(tracking, hands=hands)), right_still=0.0, right_path_m=0.0, working_hand="right")


@pytest.mark.parametrize(("hand", "side"), [(1, "right"), (-1, "left")])
def test_the_working_hand_of_a_drawn_episode(hand: int, side: str) -> None:
    scene = set_scene("basic_pick_and_place", np.random.default_rng(3), hand)
    drawn = Performance(scene, np.random.default_rng(4), frames=150, reverse=False, hand=hand, table_height=0.74)
    row = measure_all(tracking_of(drawn))
    says(row, working_hand=side, jumps=0, left_handedness=1.0, right_handedness=1.0, row0_repeated=False)
    assert row[f"{side}_still"] < 0.6 < row["left_still" if side == "right" else "right_still"]  # type: ignore[operator]


def tracking_of(performance: Performance) -> Tracking:
    """A drawn episode's poses, as its annotation would have them."""
    poses = performance.poses(0, performance.frames).transforms
    sides = [[poses[f"{side}{joint}"] for joint in HAND_JOINTS] for side in ("left", "right")]
    return replace(
        made_tracking(performance.frames),
        camera_to_world=poses["camera"].astype(np.float32),
        hands=np.array([[pose[:, :3, 3] for pose in side] for side in sides], np.float32).transpose(0, 2, 1, 3),
        wrists=np.array([side[WRIST][:, :3, :3] for side in sides], np.float32),
    )


# Whether it can be a hand -------------------------------------------------------------------------------------------


def test_a_bone_that_changes() -> None:
    tracking = made_tracking(60)
    hands = tracking.hands.copy()
    tip = HAND_JOINTS.index("IndexFingerTip")
    bone = hands[0, :, tip] - hands[0, :, tip - 1]
    longer = np.where(np.arange(60) % 2, 0.002, -0.002)[:, None]  # metres: a standard deviation of 2 mm
    hands[0, :, tip] += longer * bone / np.linalg.norm(bone, axis=-1, keepdims=True)
    row = measure_all(replace(tracking, hands=hands.astype(np.float32)))
    assert row["left_bone_change_mm"] == pytest.approx(2, abs=0.001)
    assert row["right_bone_change_mm"] == pytest.approx(0, abs=0.001)


def test_the_length_of_a_hand() -> None:
    row, larger = measured(10), made_tracking(10)
    root = math.hypot(0.031, 0.002, 0.003)  # of the drawn middle finger, from the wrist; then its bones
    assert row["left_hand_length_m"] == pytest.approx(root + 0.060 + 0.046 + 0.028 + 0.023, abs=1e-3)
    grown = measure_all(replace(larger, hands=larger.hands * np.float32(1.5)))
    assert grown["right_hand_length_m"] == pytest.approx(1.5 * float(row["right_hand_length_m"]), rel=1e-4)  # type: ignore[arg-type]


@pytest.mark.parametrize("spoil", ["hands swapped", "wrist mirrored", "wrist turned round"])
def test_a_hand_that_is_not_what_it_is_called(spoil: str) -> None:
    tracking = made_tracking(20)
    if spoil == "hands swapped":
        tracking = replace(tracking, hands=tracking.hands[::-1], wrists=tracking.wrists[::-1])
    elif spoil == "wrist mirrored":
        tracking = replace(tracking, wrists=tracking.wrists * np.array([1, -1, 1], np.float32))
    else:
        tracking = replace(tracking, wrists=tracking.wrists * np.array([-1, 1, -1], np.float32))
    says(measure_all(tracking), left_handedness=0.0, right_handedness=0.0)


# How the head moves -------------------------------------------------------------------------------------------------


def test_a_head_that_turns_and_moves() -> None:
    camera = turned(np.tile(np.eye(4), (60, 1, 1)), np.arange(60) * 0.5)  # 15 degrees a second
    camera[:, :3, 3] = moving(60, first=0, last=59, metres_a_second=0.2, axis=1)
    row = measured(60, camera=camera)
    says(row, head_turn_mean=15.0, head_turn_top=15.0, head_speed_mean=0.2, head_speed_top=0.2)


def test_the_cameras_share_of_image_motion() -> None:
    sideways = moving(60, first=0, last=59, metres_a_second=0.1)
    still_camera = np.tile(np.eye(4), (60, 1, 1))
    moving_camera = still_camera.copy()
    moving_camera[:, :3, 3] = sideways
    says(measured(60, camera=moving_camera), camera_share=1.0)
    says(measured(60, left=sideways, right=sideways), camera_share=0.0)
    # Hands that are carried along stay where they are in the picture: both parts are equal, and opposite.
    says(measured(60, camera=moving_camera, left=sideways, right=sideways), camera_share=0.5)
    # Out of the picture nothing is told.
    says(measured(60, camera=moving_camera, left=(OUT, 0, 0), right=(OUT, 0, 0)), camera_share=None)


# What texts are worth -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "columns", "expected"),
    [
        ("x", {"which_llm_description": 2}, {"text_direction": "reverse", "text_usable": True}),
        ("x", {"which_llm_description": None, "task_certain": False}, {"text_direction": None, "text_certain": False}),
        ("x", {"which_llm_description": None, "llm_type": "reset"}, {"text_direction": "forward"}),
        (None, {"llm_description": "description unavailable"}, {"text_placeholder": True, "text_usable": False}),
        (None, {"llm_description": None}, {"text_placeholder": False, "text_usable": False}),
        (None, {"which_llm_description": 2, "llm_description2": "None"}, {"text_placeholder": True}),
    ],
)
def test_texts(task: str | None, columns: dict[str, Any], expected: dict[str, Any]) -> None:
    says(measured(3, task=task, columns=TEXTS | columns), **expected)


# The table ----------------------------------------------------------------------------------------------------------


def test_every_value_is_of_its_kind_and_within_its_range() -> None:
    rng = np.random.default_rng(1)
    rows = [measured(frames, left=rng.normal(0, 0.3, (frames, 3))) for frames in (1, 2, 3, 40)]
    for path in sorted(REAL_SAMPLE.rglob("*.hdf5")):  # where there are some
        with path.open("rb") as file:
            rows.append(measure_all(read_tracking(file, path.name)))
    kinds = {"float": float, "int": int, "bool": bool, "text": str}
    for each in MEASURES:
        for row in rows:
            for value in (row[column] for column in each.columns):
                assert value is None or type(value) is kinds[each.kind], each.name
                if isinstance(value, str):
                    assert value in each.range
                elif value is not None:
                    lowest, highest = each.range
                    assert lowest <= value <= highest, each.name  # type: ignore[operator]


def test_columns_have_names_of_their_own_and_measures_say_what_they_are() -> None:
    assert len(set(COLUMNS)) == len(COLUMNS)
    assert all(each.definition.endswith(".") for each in MEASURES)


@pytest.mark.skipif(not REAL_SAMPLE.exists(), reason="the real episodes are not on this machine")
def test_real_episodes_look_clean() -> None:
    for path in sorted(REAL_SAMPLE.rglob("*.hdf5")):
        with path.open("rb") as file:
            row = measure_all(read_tracking(file, path.name))
        says(row, jumps=0, row0_repeated=True, left_holds=0, left_handedness=1.0, right_handedness=1.0)
        assert 0.16 < float(row["left_hand_length_m"]) < 0.21  # type: ignore[arg-type]
        assert float(row["right_bone_change_mm"]) < 0.01  # type: ignore[arg-type]
        assert float(row["hands_in_frame"]) > 0.75  # type: ignore[arg-type]
