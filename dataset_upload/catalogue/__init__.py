"""A catalogue: every episode of a source measured, one row each."""
