/** The checks of the checkout, of how the nodes meet, and of what changes torchrun or submits the job. */
import { lookup } from "node:dns/promises";
import { createServer } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { System } from "../../launch/system.js";
import { finding, type TrainFinding } from "../rules.js";
import type { CheckContext } from "./context.js";
import { there } from "./look.js";

export async function* checkCheckout({ plan }: CheckContext): AsyncGenerator<TrainFinding> {
  const absent = `${plan.vista} has no train.py`;
  yield* there("checkout", join(plan.vista, "train.py"), absent, "file");
}

export async function* checkRendezvous({ plan, system }: CheckContext): AsyncGenerator<TrainFinding> {
  const meeting = plan.rendezvous;
  if (meeting.kind === "missing") {
    yield finding("no-rendezvous", `${plan.nodes} nodes, and nothing says how they find one another`);
  }
  const host = meeting.kind === "c10d" || meeting.kind === "static" ? meeting.host : "";
  if (plan.nodes > 1 && /^(localhost|127\..*|::1|0\.0\.0\.0)$/i.test(host)) {
    const what = `${host} is each of the ${plan.nodes} nodes to itself: where they are several machines, each waits for the others alone`;
    yield finding("rendezvous-host", what, {
      severity: "warning",
      fix: "Name the first node by a name or an address that the others know it by.",
    });
  }
  // With Slurm, names are looked up on the nodes, not here.
  if (plan.slurm !== undefined) return;
  if (meeting.kind === "local") yield* checkHostName(system);
  if (meeting.kind !== "c10d" && meeting.kind !== "static") return;
  let address: string;
  try {
    address = (await lookup(meeting.host)).address;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "unknown";
    yield finding("rendezvous-host", `the name ${meeting.host} cannot be resolved here (${code})`);
    return;
  }
  const first = meeting.kind === "static" ? meeting.nodeRank === 0 : isLocal(address);
  if (first && (await isBusy(meeting.port))) {
    yield finding("port-busy", `port ${meeting.port} of this machine is in use`);
  }
  if (meeting.kind === "c10d" && first) yield* checkHostName(system);
}

/** Checks that this machine's name can be resolved: with c10d, workers connect to the first node by the name it gives itself. */
async function* checkHostName(system: System): AsyncGenerator<TrainFinding> {
  if (await system.resolves(system.hostname)) return;
  yield finding("host-name", `this machine cannot resolve its own name, ${system.hostname}`);
}

function isLocal(address: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return own.some((network) => network.address === address) || address.startsWith("127.");
}

/** Tells whether a port cannot be opened because someone holds it. */
function isBusy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", (error: NodeJS.ErrnoException) => resolve(error.code === "EADDRINUSE"));
    server.listen(port, () => server.close(() => resolve(false)));
  });
}

export async function* checkEnvironment({ plan, system }: CheckContext): AsyncGenerator<TrainFinding> {
  if (plan.recipe.launcher === "python") return;
  const names = Object.keys({ ...system.env, ...plan.env }).filter((name) => name.startsWith("PET_"));
  if (names.length === 0) return;
  yield finding("pet-variable", `set in the environment: ${names.sort().join(", ")}`, {
    fix: `Unset them (\`unset ${names.join(" ")}\`), unless a job controller of yours set them on purpose.`,
  });
}

export async function* checkSbatch({ plan, system }: CheckContext): AsyncGenerator<TrainFinding> {
  if (plan.slurm === undefined) return;
  const { outcome } = await system.capture("sbatch", ["--version"]);
  if (outcome === "missing") yield finding("sbatch-missing", "there is no sbatch on this machine");
}
