import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import type { Event } from "../events/events.ts";
import type { LinesOutcome } from "../base/lines_outcome.ts";
import { AccessLog } from "./access_log.ts";
import { FakeClient } from "./testing/fake_client.ts";

/** A log whose batches the test receives and confirms. */
function fixture() {
  const clock = new ManualClock();
  const events: Event[] = [];
  const batches: { readonly text: string; readonly confirm: (written?: LinesOutcome) => void }[] =
    [];
  const log = new AccessLog({ service: "web", format: "json" }, {
    clock,
    publish: (event) => events.push(event),
    write(lines) {
      const { promise, resolve } = Promise.withResolvers<LinesOutcome>();
      const confirm = (written: LinesOutcome = { lost: 0, reason: "" }) => resolve(written);
      batches.push({ text: new TextDecoder().decode(lines), confirm });
      return promise;
    },
  });
  const linesOf = (at: number) =>
    batches[at]!.text.trimEnd().split("\n").map((line) => JSON.parse(line));
  const request = (path: string, fault?: Fault) =>
    log.ended(new FakeClient("GET", path), "http", log.begin(), fault);
  return { clock, events, batches, log, linesOf, request };
}

Deno.test("AccessLog writes lines that are added close together in one batch, and one batch at a time", async () => {
  const { clock, batches, linesOf, request } = fixture();
  request("/1");
  request("/2");
  assertEquals(batches.length, 0);
  await clock.advance(100);
  assertEquals(linesOf(0).map(({ target }) => target), ["/1", "/2"]);
  request("/3");
  await clock.advance(1_000);
  assertEquals(batches.length, 1);
  batches[0]!.confirm();
  await clock.advance(0);
  assertEquals(linesOf(1).map(({ target }) => target), ["/3"]);
  batches[1]!.confirm();
  await clock.advance(1_000);
  assertEquals([batches.length, clock.pending], [2, 0]);
});

Deno.test("AccessLog keeps a limited number of lines while none are written, and reports how many were lost", async () => {
  const { clock, events, batches, log, request } = fixture();
  const path = `/${"x".repeat(2_000)}`;
  for (let i = 0; i < 2_000; i++) request(path);
  assertEquals(batches.length, 1);
  const lost = log.lost;
  assertEquals(lost > 0, true);
  await clock.advance(1_000);
  const reason = "they could not be written in time";
  assertEquals(events, [{ type: "accessLog.lost", count: lost, reason }]);
  request(path);
  await clock.advance(59_000);
  assertEquals(events.length, 1);
  await clock.advance(1_000);
  assertEquals(events[1], { type: "accessLog.lost", count: 1, reason });
  batches[0]!.confirm();
  await clock.advance(0);
  const kept = batches.reduce((sum, { text }) => sum + text.trimEnd().split("\n").length, 0);
  assertEquals(kept + log.lost, 2_001);
});

Deno.test("AccessLog counts lines that could not be written", async () => {
  const { clock, events, batches, log, request } = fixture();
  request("/");
  await clock.advance(100);
  batches[0]!.confirm({ lost: 1, reason: "No space left on device" });
  await clock.advance(0);
  await clock.advance(1_000);
  assertEquals(log.lost, 1);
  assertEquals(events, [{ type: "accessLog.lost", count: 1, reason: "No space left on device" }]);
});

Deno.test("AccessLog has one line for a fault that its exchange and the server report", async () => {
  const { clock, log, linesOf, request } = fixture();
  const fault = new Fault("bodyTooLarge");
  request("/", fault);
  log.refused(fault, "192.0.2.1", "http");
  log.refused(new Fault("badRequest"), "192.0.2.2", "http");
  log.refused(new Fault("clientReset"), "192.0.2.3", "http");
  await clock.advance(100);
  assertEquals(
    linesOf(0).map(({ client, status, outcome }) => [client, status, outcome]),
    [["192.0.2.1", 413, "body-too-large"], ["192.0.2.2", 400, "bad-request"]],
  );
});

Deno.test("AccessLog logs 499 for a client that left before its response", async () => {
  const { clock, log, linesOf } = fixture();
  const client = new FakeClient();
  const notes = log.begin();
  await clock.advance(250);
  const fault = new Fault("clientReset");
  client.leave(fault);
  log.ended(client, "http", notes, fault);
  await clock.advance(100);
  const [{ status, total_ms }] = linesOf(0);
  assertEquals([status, total_ms], [499, 250]);
});

Deno.test("AccessLog.flushed() resolves when the last batch was written", async () => {
  const { batches, log, request } = fixture();
  request("/");
  const flushed = log.flushed();
  assertEquals(batches.length, 1);
  batches[0]!.confirm();
  await flushed;
});
