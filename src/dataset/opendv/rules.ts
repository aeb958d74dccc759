import { defineRules, findingsOf } from "../define-rules.js";

const EXTRACT =
  "Remove the folder, take its ID out of vid2img_finished.txt, and run DriveAGI's video2img.py for it again.";
const COPY = "Copy the file again from its source, or extract the video again.";

// biome-ignore format: one rule a line
export const OPENDV_RULES = defineRules("opendv", {
  "no-frames": ["error", "no frames at all", "Extract the videos with DriveAGI's video2img.py, or name the folder that holds full_images and val_images."],
  "broken-link": ["error", "link or folder that leads nowhere", "Mount the disk, or mend the link."],
  "meta-missing": ["note", "no list of videos", "Put OpenDV-YouTube.csv or .json into meta/: without it lengths, splits and missing videos are not checked."],
  "meta-unreadable": ["error", "list of videos is unreadable", "Export the sheet as CSV again, and run meta_preprocess.py."],
  "meta-row": ["warning", "row that no script can use", "Correct the row in the sheet, or remove it."],
  "meta-duplicate": ["warning", "video listed twice", "Remove one of the rows."],
  "meta-mismatch": ["warning", "CSV and JSON list different videos", "Run meta_preprocess.py again, so that the JSON is made from this CSV."],
  "meta-spelling": ["note", "split or subset in another spelling", "Write Train, Val, Mini and Full: DriveAGI's --mini takes nothing but Mini."],
  "meta-blank": ["note", "length or discard not given", "Fill in the cell: until then the frames of this video cannot be counted against it."],
  partial: ["warning", "most videos of the list are not here", "Nothing to do where only a part is wanted; else download and extract the rest."],
  "not-downloaded": ["warning", "videos that were never downloaded", "Download them, or leave it where they are gone from YouTube."],
  "missing-folder": ["error", "video of the list without a folder of frames", "Run video2img.py for it; where its ID is in vid2img_finished.txt, take it out first."],
  "wrong-split": ["error", "video in the folder of the other split", "Move the folder to the split that the list gives: validation videos must not be trained on."],
  "video-twice": ["error", "video in two folders", "Keep one of the folders, in the split the list gives."],
  "unknown-folder": ["warning", "folder whose video is not in the list", "Check the name of the folder against the list, or remove it."],
  "empty-folder": ["error", "folder without a frame", EXTRACT],
  "only-last-frame": ["error", "nothing but the last frame", EXTRACT],
  gap: ["error", "frames missing", "Extract the video again: video2img.py cannot fill gaps."],
  short: ["error", "extraction stopped early", EXTRACT],
  long: ["warning", "more frames than the video is long", "Check the frame rate (10 Hz) and the lengths to discard, and that the folder holds one video only."],
  "frame-name": ["error", "frames under other names than the rest", "Rename them to the pattern of the folder: Vista's loader counts on from the first frame's name."],
  "duplicate-frame": ["warning", "frame there twice", "Remove the copies with the unusual names."],
  "stray-file": ["warning", "files that are no frames", "Move them elsewhere: video2img.py counts files to see where to go on, and skips as many frames."],
  "loader-name": ["warning", "names that Vista's loader cannot read", "Rename the frames to plain numbers (000000123.jpg): the loader takes int() of what is before the dot."],
  layout: ["note", "folder with another naming pattern than the set", "Nothing, as long as it is meant."],
  "truncated-last-frame": ["error", "last frame cut off", "An interrupted run leaves this: run video2img.py again for the video, it writes the last frame anew."],
  "empty-image": ["error", "image of 0 bytes", COPY],
  "truncated-image": ["error", "image cut off", COPY],
  "not-an-image": ["error", "neither JPEG, PNG nor WebP", COPY],
  "damaged-image": ["error", "image that does not decode", COPY],
  "unreadable-image": ["error", "image that cannot be opened", "Mend the permissions, the link or the disk."],
  "size-change": ["warning", "images of another size than the first", "Extract the video again: the folder holds frames of two downloads."],
  "small-frames": ["warning", "images below 720p", "Download the video in a higher resolution; DriveAGI's script leaves such videos out."],
  aspect: ["warning", "images that are not 16:9", "Nothing, if it is meant: Vista crops the middle to the shape of its training size."],
});

export const finding = findingsOf(OPENDV_RULES);
export type OpenDvRule = keyof typeof OPENDV_RULES;
