"""Chapter 3: when samples become copies of training images (Marion & Wu)."""

EXPERIMENTS = {
    "features": "calibration",
    "digits": "digits",
    "cifar": "cifar",
    "cifar_sizes": "cifar_sizes",
    "disjoint_halves": "halves",
}  # name -> module
