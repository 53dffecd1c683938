"""Chapter 4, networks of several targets and processes: their gap to the optimal loss (Xu et al.)."""

EXPERIMENTS = {  # name -> module
    "diagnosis_digits": "digits",
    "diagnosis_cifar": "cifar",
    "diagnosis_imagenet64": "imagenet64",
    "diagnosis_imagenet32": "imagenet32",
    "diagnosis_gaussian": "gaussian",
}
