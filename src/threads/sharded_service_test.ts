/** One service in all threads: its orders, its reports, and its end. */
import { assertEquals } from "@std/assert";
import { serviceFixture } from "./testing/service.ts";

Deno.test("each thread gets the service, then its orders", async () => {
  const { service, sent } = serviceFixture(2);
  await service.order({ do: "hold" }, "route");
  service.orderOne(1, { do: "refuse" });
  assertEquals(sent, ["0 spec", "1 spec", "0 hold", "1 hold", "1 refuse"]);
});

Deno.test("a thread that is started later gets the latest order of each topic, in the order they were given", async () => {
  const { service, sent, handle } = serviceFixture(1);
  await service.order({ do: "hold" }, "route");
  await service.order({ do: "listen", listener: 7 }, "listener");
  await service.order({ do: "refuse" }, "route");
  await service.order({ do: "confirm", upstream: "a" });
  sent.length = 0;
  service.enter(handle(0));
  assertEquals(sent, ["0 spec", "0 listen", "0 refuse"]);
  service.withdraw("listener");
  sent.length = 0;
  service.enter(handle(0));
  assertEquals([sent, service.standing("route")], [["0 spec", "0 refuse"], { do: "refuse" }]);
});

Deno.test("a stop ends when each thread has reported, with the sum of what was cut", async () => {
  const { service, over, sent, handle } = serviceFixture(2);
  const { inForce, ended } = service.stop(500);
  await inForce;
  service.onReport(0, { is: "stopped", cut: 2 });
  assertEquals(over(), 0);
  service.onReport(1, { is: "stopped", cut: 5 });
  assertEquals([await ended, over()], [7, 1]);
  sent.length = 0;
  service.enter(handle(0));
  assertEquals(sent, []);
});

Deno.test("a thread that does not end its sessions in time is not waited for, nor one that died", async () => {
  const { service, clock, over } = serviceFixture(2);
  const { ended } = service.stop(500);
  service.died(0, () => {});
  service.cutAll();
  await clock.advance(2_000);
  assertEquals([await ended, over(), clock.pending], [0, 1, 0]);
});

Deno.test("the same limit is published once in ten seconds, whatever thread reports it", async () => {
  const { service, clock, reports } = serviceFixture(2);
  const limit = { type: "limit.reached", limit: "connections", max: 10 } as const;
  service.onReport(0, { is: "event", event: limit });
  service.onReport(1, { is: "event", event: limit });
  assertEquals(reports.length, 1);
  await clock.advance(10_000);
  service.onReport(1, { is: "event", event: limit });
  service.onReport(1, { is: "event", event: { ...limit, limit: "held" } });
  assertEquals(reports.length, 3);
});

Deno.test("the sessions of a thread that died are those that its counters had", () => {
  const { service } = serviceFixture(2);
  assertEquals(service.died(1, () => {}), 3);
  assertEquals(service.busy(), 0);
  assertEquals(service.counters(["accepted"]), { accepted: 0 });
  assertEquals(service.holdTimes().sum, 0);
  assertEquals(service.more().map(({ length }) => length), [0, 0]);
});
