"""EgoDex in, reward-model and policy training datasets out."""

__version__ = "0.2.0"
