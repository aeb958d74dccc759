/** The rows of sample_data that are a sample's key frames of CAM_FRONT and LIDAR_TOP. */
import { firstWhere } from "../../../core/search.js";
import type { Tables } from "../../nuscenes/read/load-tables.js";
import { LINK } from "../../nuscenes/read/table-state.js";
import { rowOf } from "../../nuscenes/read/tables.js";
import { damagedTable, type NeededRows } from "./needed-rows.js";

export const CHANNELS = ["CAM_FRONT", "LIDAR_TOP"] as const;
export type Channel = (typeof CHANNELS)[number];

/** The channel of a calibrated sensor whose channel cannot be told. */
const UNKNOWN = -1;
const OTHER = CHANNELS.length;

export class KeyFrames {
  /** The number of samples with more than one key frame of a channel; the last one in the table counts, as in nuscenes-devkit. */
  repeated = 0;
  readonly #rows: Int32Array[];
  readonly #channels: Int8Array;
  /** The rows that do not say whether they are key frames. */
  readonly #unflagged = new Set<number>();
  #suspects: number[] | undefined;

  constructor(
    private readonly tables: Tables,
    private readonly data: NeededRows,
  ) {
    const { sample, calibrated_sensor, sensor } = tables.small;
    this.#channels = Int8Array.from(calibrated_sensor!.values, (row) => {
      const channel = sensor!.values[rowOf(sensor!, row.sensor_token)]?.channel;
      if (typeof channel !== "string") return UNKNOWN;
      const at = (CHANNELS as readonly string[]).indexOf(channel);
      return at === -1 ? OTHER : at;
    });
    const { keyFrame, sample: samples, sensor: sensors, problems, offset } = tables.sampleData!;
    for (const { message, offset: at } of problems.first) {
      if (message.startsWith('field "is_key_frame"'))
        this.#unflagged.add(firstWhere(offset.length, (row) => offset[row]! >= at));
    }
    this.#rows = CHANNELS.map(() => new Int32Array(sample!.values.length).fill(LINK.none));
    for (let row = 0; row < keyFrame.length; row++) {
      if (keyFrame[row] === 0 || samples[row]! < 0) continue;
      const rows = this.#rows[this.#channel(sensors[row]!)];
      if (rows === undefined) continue;
      if (rows[samples[row]!] !== LINK.none) this.repeated++;
      rows[samples[row]!] = row;
    }
  }

  /**
   * Returns the row of sample_data, or undefined where the sample has none.
   *
   * @throws VistaError `FORMAT` where a damaged row may be the one
   */
  find(sample: number, channel: Channel): number | undefined {
    const row = this.#rows[CHANNELS.indexOf(channel)]![sample]!;
    if (row >= 0) return row;
    this.#refuseSuspects(sample, CHANNELS.indexOf(channel));
    return undefined;
  }

  /** Tells whether a row is a key frame. @throws VistaError `FORMAT` where the row does not say */
  isKeyFrame(row: number): boolean {
    if (this.#unflagged.has(row)) this.data.read(row, ["is_key_frame"]);
    return this.tables.sampleData!.keyFrame[row] === 1;
  }

  #channel(sensor: number): number {
    return sensor < 0 ? UNKNOWN : this.#channels[sensor]!;
  }

  /** Throws where a row lacks what says whose key frame it is, and may be the one that is looked for. */
  #refuseSuspects(sample: number, channel: number): void {
    const { sample: samples, sensor: sensors, problems } = this.tables.sampleData!;
    this.data.refuseOtherRows();
    this.#suspects ??= this.#findSuspects();
    for (const row of this.#suspects) {
      if (!hasNoSample(samples[row]!) && samples[row] !== sample) continue;
      const own = this.#channel(sensors[row]!);
      if (own !== UNKNOWN && own !== channel) continue;
      this.data.read(row, ["is_key_frame", "sample_token", "calibrated_sensor_token"]);
      throw this.data.error(
        row,
        "its channel is not known: the calibrated_sensor or its sensor is not there",
      );
    }
    if (problems.more > 0)
      throw damagedTable(this.data.path, `has ${problems.first.length + problems.more} damaged rows`);
  }

  /** Finds the rows that may be key frames but do not say of which sample or channel, or do not say whether they are. */
  #findSuspects(): number[] {
    const { keyFrame, sample: samples, sensor: sensors } = this.tables.sampleData!;
    const rows: number[] = [];
    for (let row = 0; row < keyFrame.length; row++) {
      const isKey = keyFrame[row] === 1;
      const isLost = hasNoSample(samples[row]!) || this.#channel(sensors[row]!) === UNKNOWN;
      if ((isKey && isLost) || this.#unflagged.has(row)) rows.push(row);
    }
    return rows;
  }
}

/**
 * Tells whether a row does not say which sample it is of. A token that names a missing sample says it: such a row is of no other
 * sample.
 */
function hasNoSample(sample: number): boolean {
  return sample === LINK.unusable || sample === LINK.none;
}
