/** The orders of the control plane, as the threads get them. */
import { assertEquals } from "@std/assert";
import { upstreamsOf } from "../failover/testing/results.ts";
import { ShardedDataPlane } from "./sharded_data_plane.ts";
import { serviceFixture } from "./testing/service.ts";
import { DRAIN } from "../failover/testing/drain_order.ts";

Deno.test("each order goes to all threads, and is in force when they have confirmed it", async () => {
  const { service, sent } = serviceFixture(1);
  const plane = new ShardedDataPlane(service);
  await plane.open(upstreamsOf("a")[0]!, 1);
  await plane.hold();
  await plane.refuse();
  await plane.confirm("a");
  await plane.drain(DRAIN);
  await plane.spare("a");
  assertEquals(await plane.busy("a", 1), 0);
  const words = sent.map((word) => word.slice(2));
  assertEquals(words, ["spec", "open", "hold", "refuse", "confirm", "drain", "spare", "count"]);
});

Deno.test("a new thread gets the present route with its latest addresses, and the listening socket", async () => {
  const { service, sent, handle } = serviceFixture(1);
  const plane = new ShardedDataPlane(service);
  await plane.listen(7);
  await plane.openAt("a", 1, undefined);
  const addresses = [new Uint8Array([1])];
  await plane.setAddresses("b", addresses);
  assertEquals(service.standing("route"), {
    ...{ do: "open", upstream: "a", epoch: 1, addresses: undefined },
  });
  await plane.setAddresses("a", addresses);
  assertEquals(service.standing("route"), { do: "open", upstream: "a", epoch: 1, addresses });
  plane.forgetListener();
  sent.length = 0;
  service.enter(handle(0));
  assertEquals(sent, ["0 spec", "0 open"]);
});
