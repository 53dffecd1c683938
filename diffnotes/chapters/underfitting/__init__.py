"""Chapter 2, a network on samples of a Gaussian: what it learns, and where (Song et al.)."""

EXPERIMENTS: dict[str, str] = {}  # name -> module
