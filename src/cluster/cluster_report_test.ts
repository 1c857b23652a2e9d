import { assertEquals } from "@std/assert";
import type { Event } from "../events/events.ts";
import { DifferenceLog, differenceOf, proxiesOf } from "./cluster_report.ts";
import type { Seen } from "./keys.ts";

const SEEN: Seen = {
  ...{ version: "1", list: ["a", "b"], up: ["a"], down: ["b"] },
  ...{ traffic: "none", held: 0 },
};

Deno.test("differenceOf() names another version and another list", () => {
  assertEquals(differenceOf(SEEN, { ...SEEN, up: [] }), undefined);
  assertEquals(
    differenceOf(SEEN, { ...SEEN, version: "2", list: ["b", "a"] }),
    "its version is 2, and this one is 1; its upstreams are b,a",
  );
});

Deno.test("DifferenceLog publishes each difference once", () => {
  const events: Event[] = [];
  const log = new DifferenceLog((event) => events.push(event));
  const other = (version: string) =>
    proxiesOf(new Map([["p1", SEEN], ["p2", { ...SEEN, version }]]), SEEN);
  assertEquals(other("2").map(({ differs }) => differs === undefined), [true, false]);
  for (const version of ["2", "2", "1", "3", "2"]) log.look(other(version));
  assertEquals(events.map((event) => event.type === "proxy.differs" && event.what), [
    "its version is 2, and this one is 1",
    "its version is 3, and this one is 1",
  ]);
});
