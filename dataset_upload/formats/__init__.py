"""Formats: what comes out, and how it lies in a folder."""
