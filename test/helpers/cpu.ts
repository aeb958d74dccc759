/**
 * Seconds of processor time that `work` takes in this process. A bound on it tells linear from quadratic work on a busy machine
 * too, where the time on the clock tells how busy it is.
 */
export async function cpuSeconds(work: () => unknown): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}
