/**
 * Loads a program and runs it. Deno is told at once that it cannot run it: its threads do not share descriptors, so that sound files
 * would be called damaged. Where the process may not open the program's own files (`ulimit -n`), or some are missing, one line says so
 * in place of Node's stack trace.
 */
module.exports = async (name, file) => {
  const fail = (message) => {
    process.stderr.write(`${name}: ${message}\n`);
    process.exit(1);
  };
  if (process.versions.deno !== undefined)
    fail("Deno is not supported. Run the program with Node 20.15 or later.");
  let program;
  try {
    program = require(file);
  } catch (error) {
    if (!["EMFILE", "ENFILE", "MODULE_NOT_FOUND"].includes(error.code)) throw error;
    fail(
      `a part of the program could not be loaded: ${error.message.split("\n")[0]}. Raise the limit of open files with \`ulimit -n\`, or install the package again.`,
    );
  }
  // Where the program waits for what never comes, Node has nothing left to do and would end as if all were done.
  const unfinished = () => fail("internal error: the program ended before its work did. Please report it.");
  process.once("beforeExit", unfinished);
  await program.main(process.argv);
  process.off("beforeExit", unfinished);
  // When nothing is left to do, no write either: taking down V8's heap piece by piece, as Node would now, takes 10 ms.
  process.once("beforeExit", () => process.exit());
};
