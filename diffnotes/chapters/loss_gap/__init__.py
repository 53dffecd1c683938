"""Chapter 4, networks of several targets and processes: their gap to the optimal loss (Xu et al.)."""

EXPERIMENTS = {"diagnosis_digits": "digits", "diagnosis_cifar": "cifar"}  # name -> module
