"""Chapter 4, loss against training compute, with and without the optimal loss (Xu et al.)."""

EXPERIMENTS = {"scaling_digits": "digits"}  # name -> module
