import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import type { Upstream } from "../failover/upstream.ts";
import { AdmissionGate } from "./admission.ts";

const A: Upstream = { name: "a", rank: 0, address: { kind: "tcp", host: "127.0.0.1", port: 1 } };
const B: Upstream = { name: "b", rank: 1, address: { kind: "tcp", host: "127.0.0.1", port: 2 } };

function gateOf(heldMax = 10) {
  const clock = new ManualClock();
  const gate = new AdmissionGate(clock, { heldMax });
  const leaving = new AbortController();
  const wait = (ms = 1_000, signal = leaving.signal) => gate.wait(gate.route, ms, signal);
  return { clock, gate, leaving, wait };
}

Deno.test("an exchange that waits gets the route of the next order, and no timer is left", async () => {
  const { clock, gate, wait } = gateOf();
  const waiting = [wait(), wait()];
  assertEquals([gate.held, gate.route, gate.isClosed], [2, undefined, false]);
  await clock.advance(400);
  gate.open(A, 1);
  assertEquals(await Promise.all(waiting), [gate.route!, gate.route!]);
  assertEquals([gate.held, gate.released, gate.longestHoldMs, clock.pending], [0, 2, 400, 0]);
});

Deno.test("a wait ends late, full, closed or gone, and does not change after that", async () => {
  const { clock, gate, leaving, wait } = gateOf(2);
  const late = wait(500);
  const gone = wait();
  assertEquals(await wait(), "full");
  leaving.abort();
  assertEquals(await gone, "gone");
  assertEquals(await late, "gone");
  assertEquals(await wait(), "gone");
  const staying = new AbortController().signal;
  const second = wait(500, staying);
  await clock.advance(500);
  assertEquals([await second, await wait(0, staying)], ["late", "late"]);
  const third = wait(500, staying);
  gate.close();
  assertEquals([await third, await wait(500, staying), gate.isClosed], ["closed", "closed", true]);
  assertEquals([gate.held, gate.released, clock.pending], [0, 0, 0]);
});

Deno.test("an order of an older epoch changes nothing", () => {
  const { gate } = gateOf();
  gate.open(B, 2);
  gate.open(A, 1);
  assertEquals(gate.route, { upstream: B, epoch: 2 });
});

Deno.test("an exchange that failed on a route waits for another one, or for it to be confirmed", async () => {
  const { gate, leaving } = gateOf();
  gate.open(A, 1);
  const failed = gate.route!;
  const first = gate.wait(failed, 1_000, leaving.signal);
  gate.confirm("b");
  assertEquals(gate.held, 1);
  gate.confirm("a");
  assertEquals(await first, failed);
  const second = gate.wait(failed, 1_000, leaving.signal);
  gate.open(B, 2);
  assertEquals(await second, { upstream: B, epoch: 2 });
  assertEquals(await gate.wait(failed, 1_000, leaving.signal), { upstream: B, epoch: 2 });
});

Deno.test("after the last decision no client waits: an open route stays, otherwise clients are refused", async () => {
  const open = gateOf();
  open.gate.open(A, 1);
  const waiting = open.wait();
  open.gate.decideNoMore();
  assertEquals([await waiting, await open.wait(), open.gate.route?.upstream], [
    "closed",
    "closed",
    A,
  ]);
  const held = gateOf();
  const vain = held.wait();
  held.gate.decideNoMore();
  assertEquals([await vain, held.gate.isClosed], ["closed", true]);
});
