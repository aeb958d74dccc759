const VERSION = /^(\d+)\.(\d+)\.(\d+)/;

/** Tells whether a version can be read, so that {@link versionAtLeast} can say anything of it. */
export function isVersion(version: string | undefined): boolean {
  return VERSION.test(version ?? "");
}

/** Tells whether a version is at least the wanted one, as `0.19.8+cu12` is at least 0.19.8; one that cannot be read never is. */
export function versionAtLeast(version: string | undefined, wanted: readonly number[]): boolean {
  const match = VERSION.exec(version ?? "");
  if (match === null) return false;
  for (const [i, part] of wanted.entries()) {
    const difference = Number(match[i + 1]) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}
