/**
 * A new process for tests of the old one: it takes over by the real protocol, up to the step that its argument names,
 * and dies, hangs or says something wrong there. Behind a whole takeover it prints what it was given.
 */
import { closeDescriptors, DescriptorSocket } from "../../linux/pass_descriptors.ts";
import { Channel } from "../channel.ts";
import { Takeover, TakeoverFailed } from "../takeover.ts";

const [step = "", report = ""] = Deno.args;
const socket = Deno.env.get("FAILOVER_UPGRADE") ?? "";

function dieAt(here: string): void {
  if (step === `die at ${here}`) Deno.kill(Deno.pid, "SIGKILL");
}

async function hangAt(here: string): Promise<void> {
  // A timer keeps the process from ending.
  if (step === `hang at ${here}`) await new Promise((resolve) => setTimeout(resolve, 600_000));
}

async function reached(here: string): Promise<void> {
  dieAt(here);
  await hangAt(here);
}

async function main(): Promise<void> {
  if (step === "exit at once") Deno.exit(7);
  await reached("start");
  if (step === "say nonsense" || step === "other protocol") {
    const ends = DescriptorSocket.connect(socket);
    if (typeof ends === "number") throw new Error(`${ends}`);
    if (step === "say nonsense") ends.trySend(new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n"));
    else {
      const channel = new Channel(ends);
      await channel.send({ type: "hello", protocol: 99, version: "9.9.9", pid: Deno.pid });
      const answer = await channel.receive(10_000);
      await Deno.writeTextFile(report, JSON.stringify(answer));
    }
    return;
  }
  const takeover = Takeover.connect(socket, "2.0.0", Deno.ppid);
  await reached("connected");
  if (step === "fail") return await takeover.fail(["--bind is wrong", "--hosts is missing"]);
  const inheritance = await takeover.hello();
  await reached("hello");
  const memories = await takeover.ready();
  await reached("memory");
  if (step === "fail at memory") return await takeover.fail(["the state folder is full"]);
  await takeover.took();
  dieAt("go");
  const parcels: string[] = [];
  await takeover.receiveConnections((service, { kind, content, descriptors }) => {
    parcels.push(`${service} ${kind} ${content.length} ${descriptors.length}`);
    return kind === "unknown" ? undefined : () => closeDescriptors(descriptors);
  });
  await Deno.writeTextFile(
    report,
    JSON.stringify({
      from: inheritance.version,
      listeners: inheritance.listeners.takeRest().map(({ owner, address }) => [owner, address]),
      folder: inheritance.stateLock?.folder,
      memories: [...memories],
      parcels,
    }),
  );
}

try {
  await main();
} catch (error) {
  if (!(error instanceof TakeoverFailed)) throw error;
  Deno.exit(1);
}
