"""EgoDex trajectories, one at a time: `from egodex_loader import get_egodex_iterator`."""

from dataset_upload.dataset_loaders.egodex.iterator import EgoDexIterator, get_egodex_iterator

__all__ = ["EgoDexIterator", "get_egodex_iterator"]
