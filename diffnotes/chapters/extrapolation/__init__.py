"""Chapter 2, what the loss leaves free: wider supervision, and what a network sees (Song et al.)."""

EXPERIMENTS: dict[str, str] = {}  # name -> module
