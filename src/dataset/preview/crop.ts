/** The part of a picture that Vista's loader keeps (`preprocess_image` in vwm/data/subsets/common.py). */

export interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

/**
 * Returns the middle of a picture in the shape of `target`: a wider picture loses its sides, a taller one its top and bottom. The
 * numbers are rounded as in the loader, which computes in floating point and cuts off the fraction.
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
