"""Crops the middle of an image to the shape of a target and resizes it by Lanczos' filter; writes raw RGB to stdout.

The same three cases and roundings as `preprocess_image` of Vista's loader, in words of our own."""

import sys

from PIL import Image

path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
image = Image.open(path)
full_width, full_height = image.size
box = (0, 0, full_width, full_height)
if full_width / full_height > width / height:
    keep = int(width / height * full_height)
    box = ((full_width - keep) // 2, 0, (full_width + keep) // 2, full_height)
elif full_width / full_height < width / height:
    keep = int(height / width * full_width)
    box = (0, (full_height - keep) // 2, full_width, (full_height + keep) // 2)
image = image.crop(box).resize((width, height), resample=Image.LANCZOS).convert("RGB")
sys.stdout.buffer.write(image.tobytes())
