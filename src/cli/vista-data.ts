/** `vista-data`: not built yet; says so and exits with 2, so that no script takes it for a clean result. */
export async function main(_argv: readonly string[]): Promise<void> {
  process.stderr.write("vista-data: not yet: this command comes in a later release\n");
  process.exitCode = 2;
}
