import { assertEquals } from "@std/assert";
import { eventsOf, eventsText, historyText, movesOf, type PastEvent } from "./history.ts";

let seq = 0;
function event(event: string, message: string, more: Partial<PastEvent> = {}): PastEvent {
  return { seq: ++seq, time: `t${seq}`, service: "orders", event, message, ...more };
}

const EVENTS = [
  event("promotion.finished", "start to a", { id: "x-1" }),
  event("upstream.down", "a is down"),
  event("upstream.down", "another service", { service: "blog" }),
  event("promotion.started", "to b", { id: "x-2" }),
  event("promotion.abandoned", "b went down", { id: "x-2" }),
  event("promotion.finished", "to c", { id: "x-3" }),
];

Deno.test("the moves that have ended are listed, oldest first", () => {
  assertEquals(movesOf(EVENTS).map(({ id, outcome }) => [id, outcome]), [
    ["x-1", "finished"],
    ["x-2", "abandoned"],
    ["x-3", "finished"],
  ]);
  assertEquals(historyText(movesOf(EVENTS.slice(0, 2))), "t1  x-1  [orders] start to a");
  assertEquals(historyText([]), "no move among the last events");
});

Deno.test("a move has the events of its service since the previous move", () => {
  assertEquals(
    eventsText(eventsOf(EVENTS, "x-2")!),
    [
      "t2  [orders] a is down",
      "t4  [orders] to b",
      "t5  [orders] b went down",
    ].join("\n"),
  );
  assertEquals(eventsOf(EVENTS, "x-3")!.map(({ message }) => message), ["to c"]);
  assertEquals(eventsOf(EVENTS, "x-9"), undefined);
});
