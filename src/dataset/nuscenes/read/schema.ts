/** The tables of nuScenes v1.0, after docs/schema_nuscenes.md of the devkit. */

/**
 * The type that a field must have. `token` is a token or a name, which is any string but "". `link` is a token, or "" where the chain ends. `tokens` is an
 * array of tokens. `vector3` is an array of three numbers, `rotation` one of four that are not all 0. `matrix` is 3 × 3 numbers, or [] for what is no camera.
 */
export type FieldType =
  | "token"
  | "link"
  | "tokens"
  | "string"
  | "int"
  | "bool"
  | "vector3"
  | "rotation"
  | "matrix";

interface TableSchema {
  fields: Readonly<Record<string, FieldType>>;
  /** The foreign keys, from field to table. The links of chains (`prev`, `next`) point into the table itself. */
  keys: Readonly<Record<string, TableName>>;
}

const LABELS = {
  fields: { token: "token", filename: "string", sample_data_token: "token" },
  keys: { sample_data_token: "sample_data" },
} as const;

const TABLES = {
  category: { fields: { token: "token", name: "string", description: "string" }, keys: {} },
  attribute: { fields: { token: "token", name: "string", description: "string" }, keys: {} },
  visibility: { fields: { token: "token", level: "string", description: "string" }, keys: {} },
  sensor: { fields: { token: "token", channel: "token", modality: "string" }, keys: {} },
  log: {
    fields: {
      token: "token",
      logfile: "string",
      vehicle: "string",
      date_captured: "string",
      location: "string",
    },
    keys: {},
  },
  // The field log_tokens is no key here, because the official tables name the logs of all splits (rule map-log-elsewhere).
  map: { fields: { token: "token", log_tokens: "tokens", category: "string", filename: "string" }, keys: {} },
  calibrated_sensor: {
    fields: {
      token: "token",
      sensor_token: "token",
      translation: "vector3",
      rotation: "rotation",
      camera_intrinsic: "matrix",
    },
    keys: { sensor_token: "sensor" },
  },
  scene: {
    fields: {
      token: "token",
      name: "string",
      description: "string",
      log_token: "token",
      nbr_samples: "int",
      first_sample_token: "token",
      last_sample_token: "token",
    },
    keys: { log_token: "log", first_sample_token: "sample", last_sample_token: "sample" },
  },
  sample: {
    fields: { token: "token", timestamp: "int", prev: "link", next: "link", scene_token: "token" },
    keys: { scene_token: "scene" },
  },
  instance: {
    fields: {
      token: "token",
      category_token: "token",
      nbr_annotations: "int",
      first_annotation_token: "token",
      last_annotation_token: "token",
    },
    keys: {
      category_token: "category",
      first_annotation_token: "sample_annotation",
      last_annotation_token: "sample_annotation",
    },
  },
  ego_pose: {
    fields: { token: "token", timestamp: "int", rotation: "rotation", translation: "vector3" },
    keys: {},
  },
  sample_data: {
    fields: {
      token: "token",
      sample_token: "token",
      ego_pose_token: "token",
      calibrated_sensor_token: "token",
      timestamp: "int",
      fileformat: "string",
      is_key_frame: "bool",
      height: "int",
      width: "int",
      filename: "string",
      prev: "link",
      next: "link",
    },
    keys: {
      sample_token: "sample",
      ego_pose_token: "ego_pose",
      calibrated_sensor_token: "calibrated_sensor",
    },
  },
  sample_annotation: {
    fields: {
      token: "token",
      sample_token: "token",
      instance_token: "token",
      visibility_token: "link",
      attribute_tokens: "tokens",
      translation: "vector3",
      size: "vector3",
      rotation: "rotation",
      prev: "link",
      next: "link",
      num_lidar_pts: "int",
      num_radar_pts: "int",
    },
    keys: {
      sample_token: "sample",
      instance_token: "instance",
      visibility_token: "visibility",
      attribute_tokens: "attribute",
    },
  },
  lidarseg: LABELS,
  panoptic: LABELS,
} as const;

export type TableName = keyof typeof TABLES;

/** The name of a field of a table. */
export type FieldName<Table extends TableName> = keyof (typeof TABLES)[Table]["fields"];

export const SCHEMA: Readonly<Record<TableName, TableSchema>> = TABLES;

export const ALL_TABLES = Object.keys(TABLES) as readonly TableName[];

/** The tables that are downloads of their own; every version has the others. */
export const LABEL_TABLES: readonly TableName[] = ["lidarseg", "panoptic"];

/**
 * The tables that a set may have without rows; without rows in the others there is no frame. The tables of boxes are empty in the
 * test version.
 */
export const MAY_BE_EMPTY: readonly TableName[] = [
  ...(["category", "attribute", "visibility", "instance", "sample_annotation"] as const),
  ...LABEL_TABLES,
];

/** The tables with a row per frame or box, which have gigabytes in trainval. They are kept as columns, the others as objects. */
export const LARGE_TABLES: readonly TableName[] = ["ego_pose", "sample_data", "sample_annotation"];

/**
 * The numbers of the scenes without CAN bus messages: 21 are in the devkit's own list (can_bus_api.py), and Vista's authors found
 * none for scene 419 either.
 */
export const SCENES_WITHOUT_CAN_BUS: ReadonlySet<number> = new Set([
  161, 162, 163, 164, 165, 166, 167, 168, 170, 171, 172, 173, 174, 175, 176, 309, 310, 311, 312, 313, 314,
  419,
]);

/** The known faults of some official scenes, by number. */
export const SCENE_QUIRKS: ReadonlyMap<number, string> = new Map([
  [499, "its ego poses are known to be wrong"],
  [515, "its ego poses are known to be wrong"],
  [517, "its ego poses are known to be wrong"],
  [501, "it is known to lie outside the map"],
  [502, "it is known to lie outside the map"],
]);
