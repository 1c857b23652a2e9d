import { assertEquals } from "@std/assert";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Address } from "../base/address.ts";
import type { ProbeContext, ProbeResult } from "../failover/ports.ts";
import { tcpProbe } from "./tcp.ts";

const context: ProbeContext = { lastChosen: undefined, phase: "selecting", epoch: 0 };

function ask(address: Address, timeoutMs = 10_000): Promise<ProbeResult> {
  const upstream = { name: "a", address, rank: 0 };
  return tcpProbe(timeoutMs, realClock)(upstream, context, new AbortController().signal);
}

function local(listener: Deno.TcpListener): Address {
  return { kind: "tcp", host: "127.0.0.1", port: listener.addr.port };
}

Deno.test("a TCP probe passes where a connection is accepted, and closes it", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const result = await ask(local(listener));
  assertEquals(result, { ...result, passed: true, reason: "connected", evidence: "passed" });
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
});

Deno.test("a TCP probe passes on a unix socket", async () => {
  const path = await Deno.makeTempFile();
  await Deno.remove(path);
  using listener = Deno.listen({ transport: "unix", path });
  assertEquals((await ask({ kind: "unix", path })).evidence, "passed");
  using accepted = await listener.accept();
  assertEquals(await accepted.read(new Uint8Array(1)), null);
});

Deno.test("a TCP probe of a closed port is refused", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  listener.close();
  const result = await ask(local(listener));
  assertEquals(result, {
    passed: false,
    tookMs: result.tookMs,
    reason: "connection refused",
    evidence: "refused",
  });
});

Deno.test("a TCP probe of a black hole is silent at its deadline", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
  // Closed connections stay in the accept queue, so probing fills it.
  let result = await ask(local(listener), 100);
  for (let tries = 0; tries < 20 && result.passed; tries++) {
    result = await ask(local(listener), 100);
  }
  assertEquals(result.reason, "no answer to connect");
  assertEquals(result.evidence, "silent");
});

Deno.test("a TCP probe of an unknown name is silent, as the name server may be at fault", async () => {
  const result = await ask({ kind: "tcp", host: "no-such-name.invalid", port: 80 });
  assertEquals([result.passed, result.evidence], [false, "silent"]);
  assertEquals(result.reason, "name does not resolve");
});

Deno.test("a TCP probe that is cancelled fails without evidence", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clock = new ManualClock();
  const probe = tcpProbe(1_000, clock);
  const upstream = { name: "a", address: local(listener), rank: 0 };
  const result = await probe(upstream, context, AbortSignal.abort());
  assertEquals([result.passed, result.evidence, clock.pending], [false, "no_verdict", 0]);
});
