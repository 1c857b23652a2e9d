/**
 * `deno task soak`: many short sessions through the real program, a part of them ended by resets and
 * closes at random moments, and then a look at what is left: the same number of descriptors, and memory
 * within a fifth. Loopback only, bounded in count and time; exit code 1 if something leaked.
 */
import { connect } from "node:net";
import { parseArgs } from "@std/cli/parse-args";
import { startProxy } from "../harness/proxy.ts";
import { startUpstream } from "../harness/upstream.ts";

const args = parseArgs(Deno.args, { string: ["sessions", "relay"] });
const SESSIONS = Number(args.sessions ?? 200_000);
const RELAY = String(args.relay ?? "splice");
const AT_ONCE = 50;
/** Sessions before the first look: pools and the compiler have warmed up by then. */
const WARM_UP = Math.min(20_000, SESSIONS / 2);

/** One session: says something, perhaps waits for the answer, and ends in one of several ways. */
function session(host: string, port: number, number: number): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const way = number % 5;
    socket.setTimeout(10_000, () => socket.destroy());
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("connect", () => {
      if (way === 0) return void socket.resetAndDestroy();
      if (way === 1) return void socket.end();
      socket.write("who\n");
      if (way === 2) socket.resetAndDestroy();
    });
    socket.on("data", () => way === 3 ? socket.resetAndDestroy() : socket.end());
  });
}

async function sessions(address: string, count: number): Promise<void> {
  const [host, port] = address.split(":") as [string, string];
  let next = 0;
  const one = async () => {
    while (next < count) await session(host, Number(port), next++);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

function look(pid: number): { fds: number; rssKb: number } {
  const fds = [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
  const rssKb = Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]);
  return { fds, rssKb };
}

await using upstream = await startUpstream({ says: "upstream" });
await using proxy = await startProxy({ upstreams: [upstream], flags: { relay: RELAY } });
const idle = look(proxy.pid);
await sessions(proxy.address, WARM_UP);
const warm = look(proxy.pid);
const startedAt = performance.now();
await sessions(proxy.address, SESSIONS);
// The last ones end at the proxy when a further session has gone through and some time has passed.
for (let round = 0; round < 50 && look(proxy.pid).fds > idle.fds; round++) await proxy.ask();
const end = look(proxy.pid);
const rate = Math.round(SESSIONS / (performance.now() - startedAt) * 1_000);
console.log(`${SESSIONS} sessions, ${rate} per second, relay ${RELAY}`);
console.log(`descriptors: ${idle.fds} idle, ${warm.fds} warmed up, ${end.fds} at the end`);
console.log(
  `memory: ${idle.rssKb} KB idle, ${warm.rssKb} KB warmed up, ${end.rssKb} KB at the end`,
);
const leaked = end.fds > idle.fds || end.rssKb > warm.rssKb * 1.2;
console.log(leaked ? "something leaked" : "nothing leaked");
if (leaked) Deno.exitCode = 1;
