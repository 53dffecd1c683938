"""Chapter 4, the training schedule that follows the loss gap, against EDM's (Xu et al.)."""

EXPERIMENTS = {  # name -> module
    "schedule_choice": "choice",
    "schedule_digits": "digits",
    "schedule_cifar": "cifar",
}
