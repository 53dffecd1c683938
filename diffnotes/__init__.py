"""Estimators, samplers, training loop and records behind the book on why diffusion models generalize.

Import the part you need, as in ``from diffnotes.posterior import posterior``. This file only remembers the
package's own files, so ``import diffnotes`` is fast and works without torch.
"""

from diffnotes.base import sources as _sources

__version__ = "0.1.0"
__all__ = ["__version__", "_sources"]
