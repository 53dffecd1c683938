"""Chapter 2, networks of several sizes on images: their errors in training and in sampling (Song et al.)."""

EXPERIMENTS: dict[str, str] = {}  # name -> module
