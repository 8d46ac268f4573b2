"""Quality: what can be measured of an episode. `table.py` has all measures; docs/quality.md explains them."""
