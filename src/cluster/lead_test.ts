import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { Lead } from "./lead.ts";

Deno.test("a lead is taken and lost, also unseen, and says so", () => {
  const events: Event[] = [];
  const lead = new Lead("p1", (event) => events.push(event));
  const show = (leads: boolean, lease: string) => lead.show(leads, lease, 2, () => "p2 leads");
  assertEquals([show(false, "x"), lead.number], [false, undefined]);
  assertEquals([show(true, "x"), show(true, "x"), lead.number], [false, false, 1]);
  assertEquals([show(true, "y"), lead.number], [true, 2]);
  assertEquals([show(false, "y"), lead.number], [false, undefined]);
  assertEquals(events.map((each) => "reason" in each ? each.reason : each.type), [
    "lead.taken",
    "its lease has ended",
    "lead.taken",
    "p2 leads",
  ]);
});
