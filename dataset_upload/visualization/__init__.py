"""Visualization: what shows a finished dataset to people."""
