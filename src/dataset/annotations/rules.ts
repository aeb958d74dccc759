import { defineRules, findingsOf } from "../define-rules.js";

const REMAKE = "Make the file again: `vista-data annos youtube`, `vista-data annos nuscenes`.";

// biome-ignore format: one rule a line
export const ANNOTATION_RULES = defineRules("annos", {
  "unreadable-file": ["error", "annotation file cannot be read", "Mend the path or the permissions."],
  "bad-json": ["error", "not a JSON array", "Download or write the file again; Vista stops at once on such a file."],
  "unknown-kind": ["error", "no annotation file of a known kind", "Name a nuScenes.json, YouTube.json or one of DriveAGI's language files."],
  "empty-file": ["error", "no records", "Write the file again: with an empty one Vista's loader turns in circles for ever."],
  "root-missing": ["warning", "the images of this file are not here", "Put or link the data to data/nuscenes or data/YouTube, where Vista looks for it."],
  shape: ["error", "record of the wrong shape", REMAKE],
  length: ["error", "list of another length", REMAKE],
  "cmd-range": ["error", "command out of range", "Use 0 right, 1 left, 2 stop, 3 forward; the language files have 0 to 13."],
  "frame-name": ["error", "frame name that Vista's loader misreads", "Use a plain number and one dot: 000000123.jpg."],
  "folder-missing": ["error", "folder that is not there", "Extract the video, or make the file again."],
  "language-folder": ["warning", "language file: folder that is not there", "Extract the video, if its language annotations are to be used: Vista does not read these files."],
  "language-past-end": ["warning", "language file: clips past the end of a folder", "Nothing for a few frames; else extract the video again."],
  "frame-missing": ["error", "frame that is not there", "Restore the files, or make the file again."],
  "past-end": ["error", "clip past the end of its folder", "Make the file again from the frames that are there."],
  "over-gap": ["error", "clip over a gap", "Make the file again: clips must not cross missing frames."],
  "frame-order": ["error", "frames of a clip out of order", REMAKE],
  "frame-rate": ["warning", "frames of a clip at another rate", "Make the file again from all frames, key frames and sweeps: Vista's clips of nuScenes have 12 Hz."],
  trajectory: ["warning", "trajectory that no car drives", "Make the file again: points are metres to the left and forward of the first frame's car."],
  "speed-unit": ["warning", "speeds that do not fit the trajectories", "Give speeds in km/h and trajectories in metres, or make the file again: `vista-data annos nuscenes`."],
  duplicate: ["warning", "clip listed twice", "Remove the copies: such clips are trained on more often."],
  "val-in-train": ["error", "validation clips in a training file", "Make the training file again without the validation videos or scenes."],
  "val-scene": ["warning", "clips from scenes of the official validation split", "Leave those scenes out, or validate on others: the split is the devkit's."],
  "goal-outside": ["note", "goals outside the picture", "Nothing at a batch size of 1: Vista's loader trains such clips without a goal. Beyond, see annos/mixed-actions."],
  "no-actions": ["note", "clips without speed or steering angle", "Nothing at a batch size of 1: Vista trains such clips without them. Beyond, see annos/mixed-actions."],
  "mixed-actions": ["warning", "clips with and without the same action", "Train at a batch size of 1, as Vista's configs do, or leave out the records without it."],
});

export const finding = findingsOf(ANNOTATION_RULES);
export type AnnotationRule = keyof typeof ANNOTATION_RULES;
