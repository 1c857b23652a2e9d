/**
 * `deno task soak [PART…]`: the real program repeats the same work, and then leaks are looked for:
 * there must be as many descriptors and processes as before, and memory that no longer grows. The parts are
 * `sessions` (many short ones, some ended by resets and closes at random moments), `failovers`, `flaps`,
 * `names`, `scripts` and `descriptors`; all of them by default. Loopback only, bounded in count and time;
 * exit code 1 if something leaked.
 */
import { connect } from "node:net";
import { parseArgs } from "@std/cli/parse-args";
import { Folder } from "../harness/folder.ts";
import type { Proxy } from "../harness/proxy.ts";
import { type Part, PARTS } from "./soak_parts.ts";
import {
  ask,
  type Mode,
  pause,
  type ResourceUse,
  resourceUse,
  startBetween,
  ToggledUpstream,
} from "./soak_fixture.ts";

const AT_ONCE = 50;
/** The memory at the end, compared with that after the warm-up. */
const GROWTH_MAX = 1.2;
/**
 * Growth below this is not a leak: V8 lets garbage grow before it collects. Seen with 2 400 flaps in
 * HTTP mode: 66 MB at first, 111 after 200, between 141 and 160 from 400 on.
 */
const PLATEAU_KB = 180_000;
/** The time in which descriptors and processes must be gone after the last round. */
const SETTLE_MS = 15_000;

/** One session: sends a request, perhaps waits for the answer, and ends in one of several ways. */
function session(port: number, number: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port });
    const way = number % 5;
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => {
      if (way === 0) return void socket.resetAndDestroy();
      if (way === 1) return void socket.end();
      socket.write("GET / HTTP/1.1\r\nHost: soak.test\r\n\r\n");
      if (way === 2) socket.resetAndDestroy();
    });
    socket.on("data", () => way === 3 ? socket.resetAndDestroy() : socket.end());
  });
}

/** `count` sessions, a thousand in each round. */
function sessionsPart(count: number): Part {
  return {
    title: `${count} sessions that end in five ways`,
    wants: () => Promise.resolve({ flags: { "check-interval": "1s" } }),
    rounds: Math.ceil(count / 1_000),
    async round(proxy) {
      const port = Number(proxy.address.slice(proxy.address.lastIndexOf(":") + 1));
      let next = 0;
      const one = async () => {
        while (next < 1_000) await session(port, next++);
      };
      await Promise.all(Array.from({ length: AT_ONCE }, one));
    },
  };
}

/** Resolves with what leaked, or undefined. */
async function soak(part: Part, mode: Mode, relay: string): Promise<string | undefined> {
  await using folder = await Folder.make();
  await using first = new ToggledUpstream("first");
  await using second = new ToggledUpstream("second");
  await first.back();
  await second.back();
  const upstreams = [first, second] as const;
  const wanted = { mode, relay, ...await part.wants(folder) };
  await using proxy = await startBetween(upstreams, wanted);
  await ask(proxy.address);
  const idle = resourceUse(proxy.pid);
  let number = 0;
  for (let n = 0; n < part.rounds / 5; n++) await part.round(proxy, upstreams, number++);
  const warm = await settled(proxy, idle);
  const startedAt = performance.now();
  for (let n = 0; n < part.rounds; n++) await part.round(proxy, upstreams, number++);
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  const end = await settled(proxy, warm);
  console.log(`${mode}, ${relay}: ${part.title}, ${part.rounds} rounds in ${seconds} s`);
  for (const [what, resourceUse] of Object.entries({ idle, warm, end })) {
    console.log(
      `  ${what}: ${resourceUse.fds} descriptors, ${resourceUse.rssKb} KB, ${resourceUse.children} processes`,
    );
  }
  if (await ask(proxy.address) === undefined) return "no upstream answers any more";
  if (end.fds > Math.max(idle.fds, warm.fds)) return "descriptors leaked";
  if (end.children > 0 && wanted.flags?.["check-host"] === undefined) return "processes are left";
  if (end.rssKb > Math.max(PLATEAU_KB, warm.rssKb * GROWTH_MAX)) return "memory grew";
  return undefined;
}

/** The resources when no more descriptors are open than `before`, or at the deadline. */
async function settled(proxy: Proxy, before: ResourceUse): Promise<ResourceUse> {
  const deadline = performance.now() + SETTLE_MS;
  let now = resourceUse(proxy.pid);
  while (now.fds > before.fds && performance.now() < deadline) {
    await pause(100);
    now = resourceUse(proxy.pid);
  }
  return now;
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["sessions", "relay", "mode"] });
  const sessions = Number(args.sessions ?? 200_000);
  const parts: Record<string, Part> = { sessions: sessionsPart(sessions), ...PARTS };
  const names = args._.length === 0 ? Object.keys(parts) : args._.map(String);
  const unknown = names.filter((name) => parts[name] === undefined);
  if (unknown.length > 0) {
    console.error(`No part is named ${unknown}; there are ${Object.keys(parts).join(", ")}`);
    return 2;
  }
  const modes: readonly Mode[] = args.mode === undefined ? ["tcp", "http"] : [args.mode as Mode];
  let leaks = 0;
  for (const name of names) {
    for (const mode of modes) {
      // Sessions end in ways that belong to TCP.
      if (name === "sessions" && mode === "http" && args.mode === undefined) continue;
      const leak = await soak(parts[name]!, mode, String(args.relay ?? "splice"));
      if (leak !== undefined) leaks++;
      console.log(`  ${leak ?? "nothing leaked"}`);
    }
  }
  return leaks === 0 ? 0 : 1;
}

Deno.exit(await main());
