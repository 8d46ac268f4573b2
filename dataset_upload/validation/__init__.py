"""Validation: what must hold in a finished dataset, one function a check.

A check yields a line for each thing that is wrong; its docstring says what holds when it yields none.
"""
