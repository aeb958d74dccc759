/**
 * Files and folders that a system, a file manager or a storage box leaves wherever it has been. Nobody put them into the
 * data set, nothing that reads it opens them, and whoever removes them finds them there again: no rule names them.
 */
const BYSTANDERS: ReadonlySet<string> = new Set([
  ".DS_Store", // macOS, and the next two
  ".localized",
  ".fseventsd",
  ".directory", // KDE
  "@eaDir", // Synology, and the next two
  "#recycle",
  "#snapshot",
  "lost+found", // the root of an ext file system: a disk that is mounted as full_images, say
  "$RECYCLE.BIN", // Windows
  "System Volume Information",
]);

export function isBystander(name: string): boolean {
  return BYSTANDERS.has(name);
}
