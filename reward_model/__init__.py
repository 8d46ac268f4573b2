"""A reward model that learns from an RFM dataset how far a task has come, and trains on one machine or many."""

import os

# Where other programs share the cores, torch's threads that spin while they wait make a step 25 times slower. torch's
# OpenMP reads this when it is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
