import { assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Address } from "../base/address.ts";
import type { ProbeResult } from "../failover/ports.ts";
import { Libc } from "../linux/libc.ts";
import { linuxTryConnect } from "../net/linux/try_connect.ts";
import { type TryConnect, tryConnectByDeno } from "../net/try_connect.ts";
import { tcpProbe } from "./tcp.ts";
import { PROBE_CONTEXT } from "../failover/testing/results.ts";
import { untilRefused } from "../net/testing/refused.ts";

type Ask = (address: Address, timeoutMs?: number) => Promise<ProbeResult>;

/** Runs a test with each way to connect. */
function testWithBoth(
  name: string,
  run: (ask: Ask, tryConnect: TryConnect) => Promise<void>,
): void {
  const runWith = (tryConnect: TryConnect) =>
    run((address, timeoutMs = 10_000) => {
      const upstream = { name: "a", address, rank: 0 };
      const probe = tcpProbe(timeoutMs, realClock, tryConnect);
      return probe(upstream, PROBE_CONTEXT, new AbortController().signal);
    }, tryConnect);
  Deno.test(`[deno] ${name}`, () => runWith(tryConnectByDeno));
  Deno.test({
    name: `[linux] ${name}`,
    ignore: Deno.build.os !== "linux",
    async fn() {
      using libc = new Libc();
      await runWith(linuxTryConnect(libc, realClock));
    },
  });
}

function local(listener: Deno.TcpListener): Address {
  return { kind: "tcp", host: "127.0.0.1", port: listener.addr.port };
}

testWithBoth("a TCP probe passes where a connection is accepted, and closes it", async (ask) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const result = await ask(local(listener));
  assertEquals(result, { ...result, passed: true, reason: "connected", evidence: "passed" });
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
});

testWithBoth("a TCP probe passes on a unix socket", async (ask) => {
  const path = await Deno.makeTempFile();
  await Deno.remove(path);
  using listener = Deno.listen({ transport: "unix", path });
  assertEquals((await ask({ kind: "unix", path })).evidence, "passed");
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
});

testWithBoth("a TCP probe of a closed port is refused", async (ask) => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  await untilRefused(listener.addr.port);
  const result = await ask(local(listener));
  assertEquals(result, {
    passed: false,
    tookMs: result.tookMs,
    reason: "connection refused",
    evidence: "refused",
  });
});

testWithBoth("a TCP probe of a black hole is silent at its deadline", async (ask) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  // Closed connections stay in the accept queue, so probing fills it.
  let result = await ask(local(listener), 100);
  for (let tries = 0; tries < 20 && result.passed; tries++) {
    result = await ask(local(listener), 100);
  }
  assertEquals(result.reason, "no answer to connect");
  assertEquals(result.evidence, "silent");
});

testWithBoth(
  "a TCP probe of an unknown name is silent, as the name server may be at fault",
  async (ask) => {
    // A resolver needs no name server to reject a label that is too long (RFC 1035).
    const result = await ask({ kind: "tcp", host: `${"a".repeat(64)}.invalid`, port: 80 });
    assertEquals([result.passed, result.evidence], [false, "silent"]);
    assertEquals(result.reason, "name does not resolve");
  },
);

testWithBoth("a TCP probe that is cancelled fails without evidence", async (_ask, tryConnect) => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clock = new ManualClock();
  const probe = tcpProbe(1_000, clock, tryConnect);
  const upstream = { name: "a", address: local(listener), rank: 0 };
  const result = await probe(upstream, PROBE_CONTEXT, AbortSignal.abort());
  assertEquals([result.passed, result.evidence, clock.pending], [false, "no_verdict", 0]);
});
