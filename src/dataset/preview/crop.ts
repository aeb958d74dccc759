/** The part of a picture that Vista's loader keeps (`preprocess_image` in vwm/data/subsets/common.py). */

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * Cuts the middle to the shape of `target`: sides off a wider picture, top and bottom off a taller one. Rounds as the
 * loader does, which computes in floating point and cuts off the fraction.
 */
export function centreCrop(
  picture: { width: number; height: number },
  target: { width: number; height: number },
): Box {
  const { width, height } = picture;
  const shape = target.width / target.height;
  if (width / height > shape) {
    const wanted = Math.trunc(shape * height);
    const left = Math.floor((width - wanted) / 2);
    return { left, top: 0, width: Math.floor((width + wanted) / 2) - left, height };
  }
  if (width / height < shape) {
    const wanted = Math.trunc((target.height / target.width) * width);
    const top = Math.floor((height - wanted) / 2);
    return { left: 0, top, width, height: Math.floor((height + wanted) / 2) - top };
  }
  return { left: 0, top: 0, width, height };
}
