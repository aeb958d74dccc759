/** A test that times out says what it was waiting for: the kinds of operations that were under way in its process. */
import { beforeEach } from "vitest";

beforeEach(({ onTestFailed }) => {
  // That of the context: tests that run side by side have one each.
  onTestFailed(({ task }) => {
    if (!task.result?.errors?.some(({ message }) => message.includes("timed out"))) return;
    const counts = new Map<string, number>();
    for (const kind of process.getActiveResourcesInfo()) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    const waiting = [...counts].map(([kind, count]) => `${count} × ${kind}`).join(", ");
    process.stderr.write(`"${task.name}" timed out while these were under way: ${waiting || "nothing"}\n`);
  });
});
