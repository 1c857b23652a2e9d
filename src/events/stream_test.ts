import { assertEquals } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { EventStream, type Stamped } from "./stream.ts";

const PORT = { type: "port.opened", address: "a:1" } as const;

Deno.test("events reach subscribers with service, time and number", () => {
  const stream = new EventStream(new ManualClock(0, 5_000), { keep: 10 });
  const seen: Stamped[] = [];
  stream.subscribe((s) => seen.push(s));
  stream.scope("orders")(PORT);
  assertEquals(seen, [{ seq: 1, time: 5_000, service: "orders", event: PORT }]);
});

Deno.test("a subscriber that throws affects neither the publisher nor the others", () => {
  const stream = new EventStream(new ManualClock(), { keep: 10 });
  let calls = 0;
  stream.subscribe(() => {
    throw new Error("broken report");
  });
  stream.subscribe(() => calls++);
  stream.publish("", PORT);
  stream.publish("", PORT);
  assertEquals([calls, stream.broken], [2, 1]);
});

Deno.test("only the last events are kept", () => {
  const stream = new EventStream(new ManualClock(), { keep: 2 });
  for (let i = 0; i < 5; i++) stream.publish("", PORT);
  assertEquals(stream.recent.map((s) => s.seq), [4, 5]);
});

Deno.test("a subscriber that unsubscribed receives nothing more", () => {
  const stream = new EventStream(new ManualClock(), { keep: 2 });
  let calls = 0;
  const unsubscribe = stream.subscribe(() => calls++);
  stream.publish("", PORT);
  unsubscribe();
  stream.publish("", PORT);
  assertEquals(calls, 1);
});
