"""Recipes: whole tasks from a file to a trained network, as the command line offers them.

In: settings (from flags, TOML or a program). Out: a run folder with weights, numbers and pictures, and the result.
A recipe uses only public pieces (`tw.data`, `tw.nn`, `tw.optim`, `tw.Trainer`): a user could write it by hand.
"""

from thalweg.recipes.settings import Settings

__all__ = ["Settings"]
