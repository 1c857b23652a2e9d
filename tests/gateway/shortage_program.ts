/**
 * A gateway in a process with few descriptors. All of them are used up, then a request is sent on an
 * existing connection; its outcome is printed, one JSON value per line. Run with the
 * kind of sockets as its argument, under `ulimit -n`.
 */
import { denoSockets } from "../../src/net/deno/transport.ts";
import { linuxSockets } from "../../src/net/linux/transport.ts";
import { realClock } from "../../src/base/clock.ts";
import { GatewayFixture, rawUpstream, readUntil, sendText } from "./gateway_fixture.ts";
import type { Protocol } from "./story_client.ts";

const sockets = Deno.args[0] === "splice" ? () => linuxSockets(realClock) : () => denoSockets;
const protocol = Deno.args[1] as Protocol;
/** Long enough for the first request of a kept connection. */
const SHORT_MS = 300;

/** Uses up every descriptor. The returned function closes them. */
function useUp(): () => void {
  const files: Deno.FsFile[] = [];
  try {
    for (;;) files.push(Deno.openSync("/dev/null"));
  } catch (error) {
    const code = (error as { code?: string }).code;
    if (code !== "EMFILE") throw error;
  }
  return () => files.forEach((file) => file.close());
}

async function run(holdMs: number, givesBack: boolean): Promise<void> {
  const up = rawUpstream(async (conn) => {
    while ((await readUntil(conn)) !== "") {
      await sendText(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  const fixture = await GatewayFixture.start([up.port, up.port], { sockets, protocol, holdMs });
  await fixture.open(0);
  const client = await fixture.client();
  // Modules that are loaded on demand must be loaded before descriptors run out.
  await (await client.begin("GET", "/__failover/health")).answer();
  const giveBack = useUp();
  const asked = await client.begin("POST", "/", ["Content-Length: 1"], { hasBody: true });
  await asked.send("x");
  await asked.end();
  if (givesBack) {
    while (fixture.gateway.counters().held === 0) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    giveBack();
  }
  const { status } = await asked.answer();
  if (!givesBack) giveBack();
  const { retried, lost } = fixture.gateway.counters();
  console.log(JSON.stringify({ status, retried, lost, doubts: fixture.doubts.length }));
  await fixture[Symbol.asyncDispose]();
  await up[Symbol.asyncDispose]();
}

// As in the proxy itself: Deno makes a pipe for signals when it first needs one, and panics if it cannot.
Deno.addSignalListener("SIGUSR2", () => {});
await run(30_000, true);
await run(SHORT_MS, false);
Deno.exit(0);
