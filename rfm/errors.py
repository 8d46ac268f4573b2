"""The one way a command refuses to start."""

from dataset_upload.errors import UsageError

__all__ = ["UsageError"]
