"""Chapter 2, where the loss looks: the supervision region of a data set, exactly (Song et al.)."""

EXPERIMENTS: dict[str, str] = {}  # name -> module
