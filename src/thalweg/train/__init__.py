"""Training: the loop, its events and callbacks, metrics and checkpoints.

In: a model, data, a loss and an optimizer. Out: trained parameters and a history of what happened.
Every piece is public, so the same loop can be written by hand.
"""

from thalweg.train import metrics

__all__ = ["metrics"]
