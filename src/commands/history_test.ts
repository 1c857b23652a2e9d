import { assertEquals } from "@std/assert";
import { eventsText } from "./history.ts";

Deno.test("an event is a line with its service, if it has one", () => {
  const events = [
    { time: "t1", service: "orders", message: "a is down" },
    { time: "t2", service: "", message: "stopping" },
  ];
  assertEquals(eventsText(events), "t1  [orders] a is down\nt2  stopping");
});
