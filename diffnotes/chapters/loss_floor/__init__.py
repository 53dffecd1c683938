"""Chapter 4: the optimal loss and how it is estimated (Xu et al.)."""

EXPERIMENTS = {
    "loss_curve": "curve",
    "loss_sizes": "sizes",
    "loss_sizes_imagenet": "sizes_imagenet",
    "loss_classes": "classes",
    "loss_estimators": "estimators",
    "loss_conversions": "conversions",
    "noisy_image": "noisy_image",
}  # name -> module
