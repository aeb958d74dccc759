/**
 * The names of files and folders that a system, a file manager or a storage box leaves wherever it has been. Nobody put them into
 * the data set, nothing that reads the data set opens them, and whoever removes them finds them there again. So no rule names
 * them.
 */
const BYSTANDERS: ReadonlySet<string> = new Set([
  ".DS_Store", // macOS makes this one and the next two.
  ".localized",
  ".fseventsd",
  ".directory", // KDE makes this one.
  "@eaDir", // Synology makes this one and the next two.
  "#recycle",
  "#snapshot",
  // This one is in the root of an ext file system, such as a disk that is mounted as full_images.
  "lost+found",
  "$RECYCLE.BIN", // Windows makes this one and the next.
  "System Volume Information",
]);

export function isBystander(name: string): boolean {
  return BYSTANDERS.has(name);
}
