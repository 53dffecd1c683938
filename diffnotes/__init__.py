"""Estimators, samplers, training loop and records behind the book on why diffusion models generalize.

Import the part you need, as in ``from diffnotes.posterior import posterior``. This file imports nothing,
so ``import diffnotes`` is fast and works without torch.
"""

__version__ = "0.1.0"
