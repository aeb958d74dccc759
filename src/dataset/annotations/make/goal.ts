/** The goal of a clip, as its first picture shows it. */
import { type Matrix, originOf, type Pose, toInner } from "./pose.js";

export interface Goal {
  /** The position in pixels from the left and from the top of the full picture (1600 × 900). */
  goal: [u: number, v: number];
  /** The depth in metres; it is not above 0 where the goal is not in front of the camera. */
  z: number;
}

/**
 * Returns where the CAM_FRONT of the first frame sees the place at which the lidar will be at the last key frame.
 *
 * It is **not confirmed by a source** that this place is the lidar's origin, nor that the camera's own ego pose is used: Vista's
 * authors say what `goal` and `z` are (issue 31), but the part of their script that makes them is not known. Both choices are
 * made here and nowhere else.
 *
 * @param lidar  the transform global ← lidar of the last key frame
 * @param ego, camera  the poses of the first frame's CAM_FRONT: that of the car in the world, and that of the camera in the car
 * @param intrinsic  the camera's 3 × 3 matrix, as the table has it
 */
export function projectGoal(
  lidar: Matrix,
  ego: Pose,
  camera: Pose,
  intrinsic: readonly (readonly number[])[],
): Goal {
  const [x, y, z] = toInner(...camera, toInner(...ego, originOf(lidar)));
  const [u, v, depth] = intrinsic.map((row) => row[0]! * x + row[1]! * y + row[2]! * z) as [
    number,
    number,
    number,
  ];
  // A point beside the camera has no pixel, but nobody reads the goal where z is not above 0.
  return { goal: depth === 0 ? [0, 0] : [u / depth, v / depth], z: depth };
}
