"""Where things lie: the project, and real episodes where there are some."""

from __future__ import annotations

from pathlib import Path

PROJECT = Path(__file__).parents[2]
REAL_SAMPLE = PROJECT.parent / "shared" / "egodex_sample" / "part_sample"
