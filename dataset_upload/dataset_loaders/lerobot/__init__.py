"""Datasets in LeRobot form, v3.0 or v2.1, whoever wrote them: docs/lerobot.md."""
