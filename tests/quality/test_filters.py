"""Rules: what they keep, what is no rule, and that their yields add up."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest

from dataset_upload.config import parse_config
from dataset_upload.errors import UsageError
from dataset_upload.quality.filters import PRESETS, first_broken, make_rules, yields


@pytest.mark.parametrize(
    ("rule", "keeps", "leaves_out"),
    [
        ({"measure": "hands_in_frame", "min": 0.5}, [0.5, 1.0, None], [0.49, 0.0]),
        ({"measure": "jumps", "max": 3}, [0, 3, None], [4]),
        ({"measure": "duration_s", "min": 2, "max": 10}, [2.0, 10.0, None], [1.9, 10.1]),
        ({"measure": "frames", "is": 30}, [30], [29, None]),
        ({"measure": "text_certain", "is": True}, [True], [False, None]),
        ({"measure": "text_certain", "is": False}, [False], [True, None]),
        ({"measure": "working_hand", "is": "right"}, ["right"], ["left", "none", None]),
    ],
    ids=str,
)
def test_a_rule_keeps_what_is_within_its_bounds(rule: dict[str, Any], keeps: list[Any], leaves_out: list[Any]) -> None:
    (made,) = make_rules([rule])
    assert [value for value in (*keeps, *leaves_out) if made.keeps(value)] == keeps


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ("ligt", "'ligt' is neither none, light, strict nor a rule"),
        ("[{measure: hands_in_fram, min: 1}]", "there is no measure hands_in_fram; did you mean hands_in_frame?"),
        ("[{measure: duplicates, max: 1}]", "there is no measure duplicates; docs/quality.md lists them"),
        ("[{min: 1}]", "{'min': 1} names no measure"),
        ("[{measure: jumps}]", "jumps: needs min, max or is"),
        ("[{measure: jumps, most: 1}]", "jumps: most is none of min, max, is"),
        ("[{measure: jumps, max: few}]", "jumps: max few is not a number"),
        ("[{measure: jumps, max: true}]", "jumps: max true is not a number"),
        ("[{measure: jumps, max: .nan}]", "jumps: max nan is not a number"),
        ("[{measure: jumps, max: null}]", "jumps: max null is not a number"),
        ("[{measure: jumps, max: -1}]", "jumps: max -1 is outside its values, from 0"),
        ("[{measure: hands_in_frame, min: 80}]", "hands_in_frame: min 80 is outside its values, from 0 to 1"),
        ("[{measure: jumps, min: 2, max: 1}]", "jumps: min 2 is over max 1: nothing would stay"),
        ("[{measure: jumps, is: 2, max: 3}]", "jumps: give either is, or min and max"),
        ("[{measure: text_certain, min: 1}]", "text_certain: is not a number; give is: true or false"),
        ("[{measure: text_certain, is: 1}]", "text_certain: 1 is none of true, false"),
        ("[{measure: working_hand, is: middle}]", "working_hand: middle is none of left, right, both, none"),
        ("[[light]]", "['light'] is neither"),
    ],
)
def test_nonsense_is_refused_in_one_line(filters: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_config(["--dataset.dataset_path=somewhere", f"--quality.filters={filters}"])
    assert str(refused.value).startswith(f"--quality.filters: {message}")
    assert "\n" not in str(refused.value)


def test_a_list_may_name_presets_and_add_rules() -> None:
    rules = make_rules(["light", {"measure": "left_still", "max": 0.5}])
    assert [str(rule) for rule in rules][-1] == "left_still max 0.5"
    assert rules[:-1] == make_rules("light")
    assert make_rules("none") == make_rules([]) == ()


def test_strict_keeps_no_episode_that_light_leaves_out() -> None:
    strict = {rule.measure: rule for rule in make_rules("strict")}
    for light in make_rules("light"):
        for value in np.linspace(0, 1 if light.measure in ("hands_in_frame", "both_still") else 10, 201):
            assert light.keeps(float(value)) or not strict[light.measure].keeps(float(value))
    assert [*PRESETS] == ["none", "light", "strict"]


def test_yields_add_up_in_every_order() -> None:
    generator = np.random.default_rng(0)
    episodes = [
        {"jumps": int(generator.integers(4)), "hands_in_frame": float(generator.random()), "both_still": None}
        for _ in range(200)
    ]
    rules = make_rules(
        [
            {"measure": "jumps", "max": 1},
            {"measure": "hands_in_frame", "min": 0.3},
            {"measure": "hands_in_frame", "max": 0.9},
            {"measure": "both_still", "max": 0.5},
        ]
    )
    stays = sum(first_broken(rules, episode) is None for episode in episodes)
    assert 0 < stays < 200
    alone = {str(rule): sum(not rule.keeps(each[rule.measure]) for each in episodes) for rule in rules}
    for order in permutations(rules):
        table = yields(order, [*episodes, {}])  # one that was never measured, which does not count
        assert [each.rule for each in table] == [str(rule) for rule in order]
        assert [each.tried for each in table] == [200, *(each.kept for each in table[:-1])]
        assert all(each.tried == each.removed + each.kept for each in table)
        assert table[-1].kept == stays
        assert table[0].removed == table[0].removed_alone
        assert {each.rule: each.removed_alone for each in table} == alone
