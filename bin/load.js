/**
 * Loads a program. Deno is told at once that it cannot run it: its threads do not share descriptors, so that sound files would be
 * called damaged. Where the process may not open the program's own files (`ulimit -n`), or some are missing, one line says so in
 * place of Node's stack trace.
 */
export async function load(name, file) {
  if (process.versions.deno !== undefined) {
    process.stderr.write(`${name}: Deno is not supported. Run the program with Node 20.15 or later.\n`);
    return process.exit(1);
  }
  try {
    return await import(file);
  } catch (error) {
    if (!["EMFILE", "ENFILE", "ERR_MODULE_NOT_FOUND"].includes(error.code)) throw error;
    process.stderr.write(
      `${name}: a part of the program could not be loaded: ${error.message.split("\n")[0]}. Raise the limit of open files with \`ulimit -n\`, or install the package again.\n`,
    );
    return process.exit(1);
  }
}
