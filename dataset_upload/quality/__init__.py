"""Quality: what can be measured of a trajectory."""
