/** Clients that are slow on purpose, as made by `slowhttptest`: each tries to occupy a connection as long as possible. */
import { assert, assertEquals } from "@std/assert";
import { Child } from "../harness/child.ts";
import { withProgress, withTestDeadline } from "../harness/test_deadline.ts";
import { type Engine, ENGINES, testWithPrograms } from "../harness/scenario.ts";
import { startWebProxy } from "../harness/web_proxy.ts";
import { WebUpstream } from "../harness/web_upstream.ts";

const CLIENTS = 200;

/** A run of slowhttptest that lasts until all its connections were closed. */
class SlowHttpTest implements AsyncDisposable {
  readonly #child: Child;
  readonly #said: string[] = [];
  readonly connected: Promise<void>;
  #reports = 0;
  #report = Promise.withResolvers<void>();

  constructor(url: string, flags: readonly string[]) {
    const connected = Promise.withResolvers<void>();
    this.connected = withTestDeadline("slow clients", connected.promise, this.#log);
    const pace = ["-c", `${CLIENTS}`, "-r", `${CLIENTS}`, "-l", "100"];
    this.#child = new Child("slowhttptest", {
      args: [...flags, ...pace, "-u", url],
      onOut: (line) => {
        // Every five seconds it reports, in colours.
        // deno-lint-ignore no-control-regex
        const text = line.replace(/\x1b\[[\d;]*[A-Za-z]/g, "");
        this.#said.push(text);
        const count = /^connected: *(\d+)/.exec(text)?.[1];
        if (Number(count) > CLIENTS / 2) connected.resolve();
        if (count === undefined) return;
        this.#reports++;
        this.#report.resolve();
        this.#report = Promise.withResolvers();
      },
    });
  }

  readonly #log = () => this.#said.slice(-30).join("\n");

  /** Resolves when it has seen the last of its connections closed, which it must before its own time is up. */
  async isOver(): Promise<void> {
    const { ended } = this.#child;
    await withProgress("the reports of slow clients", ended, () => this.#reports, this.#log);
    const why = this.#said.find((line) => line.includes("Exit status"));
    assertEquals(why?.replace(/.*Exit status: */, "").trim(), "No open connections left");
  }

  /** Resolves at its next report, which is a few seconds away. */
  async report(): Promise<void> {
    await withTestDeadline("a report", this.#report.promise, this.#log);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child[Symbol.asyncDispose]();
  }
}

/** Files and sockets that a process has open. Linux only, as slowhttptest is Debian's. */
function openFiles(pid: number): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

testWithPrograms(
  "slow heads, bodies and readers do not keep other clients from being served, and end at their deadlines",
  ["slowhttptest"],
  // Both engines at the same time, as the deadlines take most of the time.
  async () => {
    const ends = await Promise.allSettled(ENGINES.map(runSlowClients));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
  },
);

/** Runs all kinds of slow clients at once with this engine. */
async function runSlowClients(relay: Engine): Promise<void> {
  await using primary = await WebUpstream.start("primary");
  // The slow clients must be ended by their own deadlines, not by a verdict on a busy upstream.
  const flags = { "check-timeout": "30s", relay };
  await using proxy = await startWebProxy({ primary, flags });
  const url = `http://${proxy.address}`;
  // A line of a head, or a few bytes of a body, each second.
  await using heads = new SlowHttpTest(`${url}/`, ["-H", "-i", "1"]);
  const dripping = ["-B", "-s", "99999", "-i", "1", "-x", "10"];
  await using bodies = new SlowHttpTest(`${url}/upload`, dripping);
  // Eight bytes each five seconds, of more than the buffers in between can hold.
  const reading = ["-X", "-w", "64", "-y", "128", "-n", "5", "-z", "8"];
  await using readers = new SlowHttpTest(`${url}/download?bytes=20000000`, reading);
  await Promise.all([heads, bodies, readers].map((each) => each.connected));

  for (let i = 0; i < 20; i++) assertEquals((await proxy.get("/")).text, "primary");
  await heads.isOver();
  await bodies.isOver();
  // Their kernel still receives what ours has accepted already, so the sockets of the proxy are counted.
  for (let rounds = 0; openFiles(proxy.pid) > CLIENTS; rounds++) {
    assert(rounds < 12, `${relay}: ${openFiles(proxy.pid)} files are open`);
    await readers.report();
  }

  assertEquals((await proxy.get("/")).text, "primary");
}
