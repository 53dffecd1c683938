"""The book's instruments on a reader's own model: a report as a record, and what it says of known cases."""

EXPERIMENTS = {"own_model": "own", "own_cifar": "cifar"}
