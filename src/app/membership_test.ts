import { assertEquals } from "@std/assert";
import { failoverOf, Members } from "../cluster/testing/membership.ts";
import { Membership } from "./membership.ts";

const PROMOTION = failoverOf(1);

Deno.test("a service decides only as a member, and can leave and join again", async () => {
  const members = new Members();
  let made = 0;
  const membership = new Membership(
    () => members.join(`p${++made}`, "serve-last", false).coordinator,
    (error) => {
      throw error;
    },
  );
  const denied = { denied: "the service is stopping" };
  assertEquals(await membership.decide(PROMOTION), denied);
  assertEquals(await membership.conclude(PROMOTION), denied.denied);
  assertEquals(membership.report(), undefined);
  membership.join();
  membership.join();
  await members.pass(100);
  assertEquals([made, membership.report()?.role], [1, "leads"]);
  const grant = await members.settle(membership.decide(PROMOTION));
  assertEquals("fence" in grant, true);
  assertEquals(membership.leftMs() > 6_000, true);
  // The clock on the wall ran ahead, as after a suspension, in which another one may have taken the lead.
  members.clock.wall = () => Date.now() + 60_000;
  members.etcd.keys.delete("leader");
  members.cut.add("p1");
  const guard = await members.settle(membership.guard());
  assertEquals([membership.leftMs() > 0, guard?.leftMs()], [true, 0]);
  members.cut.delete("p1");
  await members.settle(membership.leave());
  assertEquals(members.etcd.keys.has("leader"), false);
  membership.join();
  await members.pass(100);
  assertEquals(membership.report()?.instance, "p2");
  await members.settle(membership.leave());
});
