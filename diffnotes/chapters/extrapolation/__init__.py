"""Chapter 2, what the loss leaves free: wider supervision, and what a network sees (Song et al.)."""

EXPERIMENTS: dict[str, str] = {
    "two_forms": "forms",
    "freedom_gaussian": "freedom_gaussian",
    "freedom_circle": "freedom_circle",
    "freedom_digits": "freedom_digits",
    "freedom_cifar": "freedom_cifar",
    "perception": "perception",
    "paper_values": "paper_values",
}  # name -> module
