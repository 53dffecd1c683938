"""How many images per second does a U-Net sample, ours and those of two public packages?

64 images of the size of CIFAR-10 with 20 evaluations each, from the untrained U-Nets of `training.py` (about
4.5 million parameters): 20 Euler steps of `diffnotes.sample`, 20 steps of diffusers' DDIMScheduler as in its
DDIMPipeline, 20 steps of denoising-diffusion-pytorch's ddim_sample.

In each repeat one method samples after the other, first all in float32 and then all in bfloat16. A ratio is
taken within a repeat and a precision. Wanted: at least 1.2 times the images per second of the fastest peer.

    .venv-bench/bin/python benchmarks/sampling.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import networks

if __name__ == "__main__":
    raise SystemExit(networks("sampling", str(__doc__)))
