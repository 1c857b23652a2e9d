import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { LEVELS } from "./line_row.ts";
import { jsonLine, levelOf, personLine, ROWS, sentenceOf } from "./lines.ts";
import { stamped } from "./testing/stamped.ts";

const PAUSED: Event = { type: "service.paused", by: "ann", reason: "a new disk" };

Deno.test("a line for people has the time, the level, the service and one sentence", () => {
  assertEquals(
    personLine(stamped(PAUSED)),
    "2026-11-21 03:00:00.123Z WARN  [orders] paused by ann: no automatic decision is made (a new disk)",
  );
  assertEquals(personLine(stamped(PAUSED, "")).includes("["), false);
});

Deno.test("a line of JSON has the fields of the event after those of every line", () => {
  const { type: event, ...fields } = PAUSED;
  assertEquals(JSON.parse(jsonLine(stamped(PAUSED))), {
    time: "2026-11-21T03:00:00.123Z",
    ...{ level: "warn", service: "orders", event, message: sentenceOf(PAUSED) },
    ...fields,
  });
});

Deno.test("text from outside cannot begin a second line", () => {
  const event: Event = { type: "config.warned", warning: "a\nb\u001b[2Jc" };
  assertEquals(sentenceOf(event), "a b [2Jc");
});

Deno.test("each event has one of the levels", () => {
  for (const { level } of Object.values(ROWS)) assertEquals(LEVELS.includes(level), true);
  assertEquals(levelOf(PAUSED), "warn");
});
