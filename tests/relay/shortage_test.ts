/** Both engines in a process with very few descriptors: real limits, real sockets. */
import { assert, assertEquals } from "@std/assert";
import type { EventOf } from "../../src/events/events.ts";
import type { Seen } from "./few_descriptors.ts";
import { echoes, TestUpstream, writeAll } from "../../src/relay/testing/relay_fixture.ts";

const ignore = Deno.build.os !== "linux";
/** Concurrent clients, many more than there are descriptors for. */
const CLIENTS = 60;
const BYTES = 300_000;

/** A relay whose process may open `limit` descriptors. */
function startRelay(engine: string, upstreamPort: number, limit: number) {
  const { pathname } = new URL("./few_descriptors.ts", import.meta.url);
  const run =
    `ulimit -n ${limit}; exec "$0" run -A --quiet --no-check "$1" ${engine} ${upstreamPort}`;
  const child = new Deno.Command("sh", {
    args: ["-c", run, Deno.execPath(), pathname],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const chunks = child.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  let text = "";
  const next = async () => {
    while (!text.includes("\n")) {
      const { done, value } = await chunks.next();
      if (done) throw new Error("the relay's process ended");
      text += value;
    }
    const [line = "", ...rest] = text.split("\n");
    text = rest.join("\n");
    return JSON.parse(line);
  };
  return {
    opened: next() as Promise<EventOf<"port.opened">>,
    async stop(): Promise<Seen> {
      await child.stdin.close();
      const seen = await next();
      await chunks.next();
      assertEquals((await child.status).code, 0);
      return seen;
    },
  };
}

/** One client: sends many bytes, and receives their echo. */
async function echoed(port: number): Promise<number> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  const saying = writeAll(conn, new Uint8Array(BYTES).fill(7)).then(() => conn.closeWrite());
  let heard = 0;
  const buffer = new Uint8Array(65_536);
  for (let n = await conn.read(buffer); n !== null; n = await conn.read(buffer)) heard += n;
  await saying;
  return heard;
}

for (const [engine, limit] of [["splice", 48], ["stream", 48]] as const) {
  Deno.test({
    name: `${engine}: without descriptors clients wait and are served, and no upstream is doubted`,
    ignore,
    async fn() {
      await using primary = new TestUpstream("a", echoes);
      const { address } = primary.upstream;
      assert(address.kind === "tcp");
      const relay = startRelay(engine, address.port, limit);
      const { address: at } = await relay.opened;
      const port = Number(at.split(":")[1]);
      const heard = await Promise.all(Array.from({ length: CLIENTS }, () => echoed(port)));
      const { doubts, counters, events } = await relay.stop();
      assertEquals(heard, Array(CLIENTS).fill(BYTES));
      // A busy machine may answer a connect late, which is asked about; a shortage is not.
      const late = /^no answer to connect/;
      assertEquals(doubts.filter(({ reason, hard }) => hard || !late.test(reason)), []);
      assertEquals([counters.accepted, counters.lost], [CLIENTS, 0]);
      assert(events.some(({ type }) => type === "accept.failed"), "no event was published");
    },
  });
}

const inOwnNetwork = ["-rn"];

/** True where a process may have a network namespace (unshare(1)), with the tools to set it up. */
function hasNetworks(): boolean {
  if (ignore) return false;
  try {
    const args = [...inOwnNetwork, "ip", "link", "set", "lo", "up"];
    return new Deno.Command("unshare", { args, stderr: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

for (const engine of ["splice", "stream"]) {
  Deno.test({
    name:
      `${engine}: without ports clients wait and no upstream is doubted; a socket that connects to itself is refused`,
    ignore: !hasNetworks(),
    async fn() {
      const { pathname } = new URL("./few_ports.ts", import.meta.url);
      const program = [Deno.execPath(), "run", "-A", "--quiet", "--no-check", pathname, engine];
      const args = [...inOwnNetwork, ...program];
      const { code, stderr } = await new Deno.Command("unshare", { args }).output();
      assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    },
  });
}
