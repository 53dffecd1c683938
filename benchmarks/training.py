"""How many images per second does a U-Net train on, ours and those of two public packages?

Steps of 64 CIFAR-10 images through U-Nets of width 32 with about 4.5 million parameters, each in the
loop of its own package: ours in `diffnotes.train`, diffusers' UNet2DModel in the loop of its example of
unconditional training, denoising-diffusion-pytorch's Unet in that of its Trainer. All bound the gradient at
norm 1, use Adam and keep an average of the weights; all find the images in memory. diffusers' network has the
layers of ours. denoising-diffusion-pytorch's cannot have them, so it is timed twice: with the widths of ours,
and with a level more. At equal parameters they do unequal work, see the column Mflop/image.

In each repeat every method makes the same number of steps, one method after the other, first all in float32
and then all in bfloat16. A ratio is taken within a repeat and a precision. Wanted: at least 1.2 times the
images per second of the fastest peer.

    .venv-bench/bin/python benchmarks/training.py [--profile smoke] [--max-seconds S] [--pin]
"""

from _report import networks

if __name__ == "__main__":
    raise SystemExit(networks("training", str(__doc__)))
