"""EgoDex in, reward-model and policy training datasets out."""

__version__ = "0.1.0"
