"""Chapter 1, the networks: how far they are off on training and on held-out images (Kaiser & Kollmann)."""

EXPERIMENTS = {
    "digits_gap": "digits",
    "cifar_gap": "cifar",
    "digits_trained": "trained",
    "digits_conditions": "conditions",
    "digits_window": "window",
}  # name -> module
