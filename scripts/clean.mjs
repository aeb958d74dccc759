// A stale file in dist/ would be published: start every build from an empty folder.
import { rmSync } from "node:fs";

rmSync(new URL("../dist", import.meta.url), { recursive: true, force: true });
