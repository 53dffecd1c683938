"""One set of checkpoints, seen through the instruments of all four papers at once."""

EXPERIMENTS = {"lenses_digits": "digits", "lenses_cifar": "cifar"}
