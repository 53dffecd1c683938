"""Chapter 2, networks of several sizes on images: their errors in training and in sampling (Song et al.)."""

EXPERIMENTS = {"selective_digits": "digits", "selective_cifar": "cifar"}  # name -> module
