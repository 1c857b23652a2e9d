import { assertEquals, assertNotEquals } from "@std/assert";
import { ManualClock } from "../../base/clock.ts";
import { LoopbackServer } from "./loopback_server.ts";

/**
 * Runs in a separate process, as it uses up all descriptors. Prints what happened, one event per line.
 */
const PROGRAM = `
import { LoopbackServer } from ${
  JSON.stringify(new URL("./loopback_server.ts", import.meta.url).href)
};
import { ManualClock } from ${JSON.stringify(new URL("../../base/clock.ts", import.meta.url).href)};
const said = (text) => console.log(text);
const clock = new ManualClock();
const ended = Promise.withResolvers();
const server = new LoopbackServer({
  clock,
  handler: () => Promise.resolve(new Response("ok")),
  onError: (error) => said("error " + error),
  onEnd: () => {
    said("end");
    ended.resolve();
  },
  onChange: (unsupportedReason) => said("unsupportedReason " + unsupportedReason),
});
const first = server.port;
const files = [];
try { for (;;) files.push(Deno.openSync("/dev/null")); } catch { /* There are no more. */ }
files.pop().close();
// This connection takes the last descriptor, so its other end cannot be accepted.
const conn = await Deno.connect({ hostname: "127.0.0.1", port: first }).catch(() => undefined);
await ended.promise;
for (const file of files) file.close();
try { conn?.close(); } catch { /* Reset already. */ }
await clock.advance(60_000);
const answer = await fetch("http://127.0.0.1:" + server.port);
said(await answer.text());
await server.close();
`;

Deno.test({
  name: "a server that ended for lack of a descriptor is started again, and its end is reported",
  ignore: Deno.build.os !== "linux",
  async fn() {
    const script = await Deno.makeTempFile({ prefix: "failover-test-", suffix: ".ts" });
    await Deno.writeTextFile(script, PROGRAM);
    const command = `ulimit -n 80; exec ${Deno.execPath()} run --no-check -A ${script}`;
    const { stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
    await Deno.remove(script);
    const decoder = new TextDecoder();
    assertEquals([decoder.decode(stdout), decoder.decode(stderr)], ["end\nok\n", ""]);
  },
});

Deno.test("a shortage is reported once, retried less often, and its end is reported", async () => {
  const clock = new ManualClock();
  const said: (string | undefined)[] = [];
  const serve = Deno.serve;
  let isBroken = true;
  Deno.serve = ((...args: Parameters<typeof serve>) => {
    if (isBroken) throw new Error("made by a test");
    return serve(...args);
  }) as typeof serve;
  try {
    const server = new LoopbackServer({
      clock,
      handler: () => Promise.resolve(new Response("ok")),
      onError: () => {},
      onEnd: () => {},
      onChange: (unsupportedReason) => said.push(unsupportedReason),
    });
    await clock.advance(60_000);
    assertEquals([server.port, server.unsupportedReason, said], [
      undefined,
      "made by a test",
      ["made by a test"],
    ]);
    isBroken = false;
    await clock.advance(30_000);
    assertNotEquals(server.port, undefined);
    assertEquals([server.unsupportedReason, said], [undefined, ["made by a test", undefined]]);
    await server.close();
    assertEquals(clock.pending, 0);
  } finally {
    Deno.serve = serve;
  }
});
