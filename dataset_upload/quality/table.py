"""Every measure of an episode's tracking, in the order of the catalogue's columns."""

from __future__ import annotations

import numpy as np

from dataset_upload.quality import activity, anatomy, confidence, continuity, head, texts, visibility
from dataset_upload.quality.derived import Derived
from dataset_upload.quality.measure import Measure, Value
from dataset_upload.trajectory import Tracking

# A family is a file; its measures stand in it in this order.
FAMILIES = (activity, visibility, confidence, continuity, anatomy, head, texts)
MEASURES: tuple[Measure, ...] = tuple(
    value for family in FAMILIES for value in vars(family).values() if isinstance(value, Measure)
)
COLUMNS: tuple[str, ...] = tuple(column for each in MEASURES for column in each.columns)


def measure_all(tracking: Tracking) -> dict[str, Value]:
    """All measures of one episode, by column; None where one cannot be told."""
    episode = Derived(tracking)
    with np.errstate(all="ignore"):  # poses may be anything; what is not finite cannot be told
        values = [value for each in MEASURES for value in each.values(episode)]
    return dict(zip(COLUMNS, values, strict=True))
