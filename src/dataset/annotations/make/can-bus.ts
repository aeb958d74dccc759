/** The speed and the steering angle of key frames, from the CAN bus messages of a scene. */
import { join } from "node:path";
import { fromSystem, VistaError } from "../../../core/errors.js";
import { isAbsent, readRegular } from "../../../core/io/regular.js";
import { JsonSyntaxError, parseWhole } from "../../../core/json/scan.js";
import { kindOf } from "../../nuscenes/read/field-types.js";

/** The `vehicle_monitor` messages of a scene, in the order of their file. */
export interface VehicleMonitor {
  path: string;
  messages: readonly unknown[];
}

/**
 * Reads the `vehicle_monitor` messages of a scene.
 *
 * @param root  the folder that holds `can_bus`
 * @returns undefined where the scene has no messages
 * @throws VistaError `FORMAT` where the file is no list, `IO`
 */
export async function readVehicleMonitor(root: string, scene: string): Promise<VehicleMonitor | undefined> {
  // The scene's name is a part of the file's name, so a scene with a slash in its name has no file.
  if (/[/\\\0]/.test(scene)) return undefined;
  const path = join(root, "can_bus", `${scene}_vehicle_monitor.json`);
  let bytes: Buffer;
  try {
    bytes = await readRegular(path);
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw fromSystem(error, path, "read the CAN bus messages");
  }
  let messages: unknown;
  try {
    messages = parseWhole(bytes);
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    const what = `not JSON: ${error.message}`;
    throw new VistaError("FORMAT", what, { path, offset: error.at, hint: HINT, cause: error });
  }
  if (!Array.isArray(messages)) {
    throw new VistaError("FORMAT", `is ${kindOf(messages)}, not a list of messages`, { path, hint: HINT });
  }
  return messages.length === 0 ? undefined : { path, messages };
}

/** The distance in microseconds from which on a message is none of the scene, which lasts 20 s. */
const FAR_US = 30_000_000;

const HINT = "Unpack the scene's file from can_bus.zip again.";

/**
 * Returns the motion at a moment, from the message that Vista's authors would take: the search starts at the first message and
 * goes on while each message is strictly nearer in time than the one before. Where messages are out of order, this is not always
 * the nearest of all.
 *
 * @param timestamp  the time of the sample, in microseconds
 * @returns the speed in km/h and the steering angle in degrees
 * @throws VistaError `FORMAT` where a message that is looked at lacks its time, or the one that is found lacks its figures or is
 *   of another time altogether
 */
export function motionAt(
  { path, messages }: VehicleMonitor,
  timestamp: number,
): { speed: number; angle: number } {
  const figure = (index: number, key: string): number => {
    const value = (messages[index] as Record<string, unknown> | null)?.[key];
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw new VistaError("FORMAT", `"${key}" is ${kindOf(value)}, not a number`, {
      path,
      record: `message ${index}`,
      hint: HINT,
    });
  };
  let found = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < messages.length; i++) {
    const distance = Math.abs(figure(i, "utime") - timestamp);
    if (!(distance < least)) break;
    least = distance;
    found = i;
  }
  if (least > FAR_US) {
    const what = `its utime is ${(least / 1e6).toFixed(0)} s from the time of a sample, ${timestamp}: both are to be microseconds`;
    throw new VistaError("FORMAT", what, { path, record: `message ${found}`, hint: HINT });
  }
  return { speed: figure(found, "vehicle_speed"), angle: figure(found, "steering") };
}
