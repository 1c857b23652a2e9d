import { assertEquals, assertMatch } from "@std/assert";
import { unusedPort } from "../base/testing/ports.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { ProbeResult } from "../failover/ports.ts";
import { dialer } from "../net/deno/transport.ts";
import { Deadlines } from "../net/deadlines.ts";
import { Pool } from "../http1/pool.ts";
import { httpProbe } from "./http.ts";

/** Longer than any check here takes, also on a busy machine; with a manual clock it passes at once. */
const TIMEOUT_MS = 20_000;
const CONTEXT = { lastChosen: undefined, phase: "serving", epoch: 1 } as const;

function probeOf(port: number, clock = realClock) {
  const dial = dialer({ hostname: "127.0.0.1", port, clock: realClock, connectMs: TIMEOUT_MS });
  const pool = new Pool({ dial, deadlines: new Deadlines(realClock) });
  const headers = [["X-Check", "1"]] as const;
  const probe = httpProbe(
    { timeoutMs: TIMEOUT_MS, statuses: [{ from: 200, to: 299 }, { from: 418, to: 418 }] },
    () => ({ pool, target: "/up?deep=1", host: "app.test", headers }),
    clock,
  );
  const address = { kind: "tcp", host: "127.0.0.1", port } as const;
  return (signal = new AbortController().signal): Promise<ProbeResult> =>
    probe({ name: "a", rank: 0, address }, CONTEXT, signal);
}

/** Accepts one connection, reads a head, answers with `text`; resolves with the head. */
async function answering(text: string, ask: (port: number) => Promise<void>): Promise<string> {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const asked = ask((listener.addr as Deno.NetAddr).port);
  using conn = await listener.accept();
  const buffer = new Uint8Array(4096);
  const head = new TextDecoder().decode(buffer.subarray(0, await conn.read(buffer) ?? 0));
  if (text !== "") await conn.write(new TextEncoder().encode(text));
  else await conn.closeWrite();
  await asked;
  return head;
}

function verdict({ passed, reason, evidence }: ProbeResult) {
  return { passed, reason, evidence };
}

Deno.test("a status in a wanted range passes, and the request is the configured one", async () => {
  for (const status of [200, 204, 418]) {
    const head = await answering(`HTTP/1.1 ${status} X\r\n\r\n`, async (port) => {
      const result = verdict(await probeOf(port)());
      assertEquals(result, { passed: true, reason: `answered ${status}`, evidence: "passed" });
    });
    assertMatch(head, /^GET \/up\?deep=1 HTTP\/1\.1\r\nHost: app\.test\r\n[^]*X-Check: 1\r\n/);
  }
});

Deno.test("a redirect is not followed, and any other status is a failed check", async () => {
  for (const line of ["302 Found\r\nLocation: http://127.0.0.1:9/", "503 No"]) {
    await answering(`HTTP/1.1 ${line}\r\nContent-Length: 0\r\n\r\n`, async (port) => {
      const { passed, evidence } = await probeOf(port)();
      assertEquals([passed, evidence], [false, "denied"]);
    });
  }
});

Deno.test("a connection that is closed without an answer is a failed check", async () => {
  await answering("", async (port) => {
    assertEquals((await probeOf(port)()).evidence, "denied");
  });
});

Deno.test("a refused connection is hard evidence", async () => {
  const port = unusedPort();
  const expected = { passed: false, reason: "connection refused", evidence: "refused" };
  assertEquals(verdict(await probeOf(port)()), expected as ReturnType<typeof verdict>);
});

Deno.test("an upstream that does not answer is given up at the deadline", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const clock = new ManualClock();
  const asking = probeOf((listener.addr as Deno.NetAddr).port, clock)();
  using conn = await listener.accept();
  await conn.read(new Uint8Array(4096));
  await clock.advance(TIMEOUT_MS);
  assertEquals(verdict(await asking), {
    passed: false,
    reason: "no answer in time",
    evidence: "silent",
  });
  assertEquals(clock.pending, 0);
});

Deno.test("a check can be cancelled", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const abort = new AbortController();
  const asking = probeOf((listener.addr as Deno.NetAddr).port)(abort.signal);
  using conn = await listener.accept();
  await conn.read(new Uint8Array(4096));
  abort.abort();
  assertEquals((await asking).reason, "check was cancelled");
});

Deno.test("a shortage of this machine gives no verdict, also at the deadline", async () => {
  const clock = new ManualClock();
  for (const fault of ["localShortage", "nameSilent"] as const) {
    let fail: (error: Fault) => void = () => {};
    const dial = () => new Promise<never>((_, reject) => fail = reject);
    const pool = new Pool({ dial, deadlines: new Deadlines(clock) });
    const check = { pool, target: "/", host: "app.test", headers: [] };
    const probe = httpProbe({ timeoutMs: 2_000, statuses: [] }, () => check, clock);
    const address = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
    const ask = () => probe({ name: "a", rank: 0, address }, CONTEXT, new AbortController().signal);
    const asking = ask();
    fail(new Fault(fault));
    assertEquals((await asking).evidence, "no_verdict");
    const late = ask();
    await clock.advance(2_000);
    fail(new Fault(fault));
    const { passed, evidence, reason } = await late;
    assertEquals([passed, evidence, reason], [false, "no_verdict", new Fault(fault).message]);
  }
});
