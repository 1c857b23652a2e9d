/**
 * A process that runs out of a resource, which is its argument, and then runs programs as the proxy does. It
 * prints as JSON how each run ended, and how many descriptors were leaked.
 */
import { realClock, sleep } from "../../src/base/clock.ts";
import { tcpProbe } from "../../src/health/tcp.ts";
import { type Ending, Programs } from "../../src/hooks/program.ts";
import { leaveRoot, limit, useUpDescriptors } from "./limits.ts";
import { descriptorCount } from "../../src/linux/testing/descriptors.ts";

export interface Report {
  readonly endings: readonly Pick<Ending, "how" | "reason">[];
  /** The result of a probe of a port that listens, during the same shortage. */
  readonly probe: { readonly evidence: string; readonly reason: string } | undefined;
  /** The descriptors that are open at the end, minus those that were open before. */
  readonly leftOpen: number;
}

/** Ten milliseconds apart. */
const LOOKS_MAX = 1_000;

const never = new AbortController().signal;
await using programs = new Programs(realClock);

async function run(): Promise<Pick<Ending, "how" | "reason">> {
  const { how, reason } = await programs.run({
    path: "/bin/true",
    args: [],
    env: {},
    timeoutMs: 0,
    leftovers: "end",
    signal: never,
    onLine: () => {},
  });
  return { how, reason };
}

async function probe(port: number): Promise<Report["probe"]> {
  const upstream = {
    name: "a",
    rank: 0,
    address: { kind: "tcp", host: "127.0.0.1", port },
  } as const;
  const context = { lastChosen: undefined, phase: "serving", epoch: 1 } as const;
  const { evidence, reason } = await tcpProbe(5_000, realClock)(upstream, context, never);
  return { evidence, reason };
}

async function withoutDescriptors(): Promise<Report> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  limit("descriptors", 64);
  await run(); // what the first run opens permanently
  const before = descriptorCount();
  const endings = [];
  let answer: Report["probe"];
  for (let free = 0; free < 8; free++) {
    const giveBack = useUpDescriptors(free);
    if (free === 0) answer = await probe(listener.addr.port);
    endings.push(await run());
    giveBack();
  }
  endings.push(await run());
  return { endings, probe: answer, leftOpen: await leftOver(before) };
}

/** How many descriptors stay open beyond `before`: the runtime closes what a program used a moment after its end. */
async function leftOver(before: number): Promise<number> {
  for (let looks = 0; looks < LOOKS_MAX && descriptorCount() > before; looks++) {
    await sleep(realClock, 10);
  }
  return descriptorCount() - before;
}

async function withoutProcesses(): Promise<Report> {
  leaveRoot();
  limit("processes", 1);
  return { endings: [await run()], probe: undefined, leftOpen: 0 };
}

const report = Deno.args[0] === "processes" ? await withoutProcesses() : await withoutDescriptors();
console.log(JSON.stringify(report));
