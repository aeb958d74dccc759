/** The goal of a clip in its first picture. */
import { type Matrix, originOf, type Pose, toInner } from "./pose.js";

export interface Goal {
  /** Pixels from the left and from the top of the full picture (1600 × 900). */
  goal: [u: number, v: number];
  /** Depth in metres; not above 0 where the goal is not in front of the camera. */
  z: number;
}

/**
 * Where the first frame's CAM_FRONT sees the place at which the lidar will be at the last key frame.
 *
 * That it is the lidar's origin, and that the camera's own ego pose is used, is **not confirmed by a source**: Vista's authors
 * say what `goal` and `z` are (issue 31), the part of their script that makes them is not known. Both choices are here and
 * nowhere else.
 *
 * @param lidar  global ← lidar of the last key frame
 * @param ego, camera  the poses of the first frame's CAM_FRONT: of the car in the world, of the camera in the car
 * @param intrinsic  3 × 3, as the table has it
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
  // Beside the camera there is no pixel; nobody reads it where z is not above 0.
  return { goal: depth === 0 ? [0, 0] : [u / depth, v / depth], z: depth };
}
