/**
 * Partitions between machines, each in a network namespace of its own: packets are lost, so that connections hang
 * instead of being closed. Three members of etcd, two or three proxies, and a server that all of them reach.
 */
import { assertEquals } from "@std/assert";
import { all, ETCDS, leaderOf, MAY_PART, runs, scene, serve } from "./testing/partition_scene.ts";
import type { Machine } from "./testing/partition_scene.ts";

const test = (name: string, fn: () => Promise<void>) =>
  Deno.test({ name: `partition: ${name}`, ignore: !MAY_PART, fn });

for (const way of ["both ways", "on the way to it", "on the way back"]) {
  test(`packets between the leader and etcd are lost ${way}`, async () => {
    await using it = await scene(2);
    const { net, a, b, machines, folder } = it;
    const leader = await leaderOf(machines);
    const others = machines.filter((each) => each !== leader);
    if (way !== "on the way back") await net.lose([leader.name], ETCDS);
    if (way !== "on the way to it") await net.lose(ETCDS, [leader.name]);
    await leader.proxy.event("coordinator.lost");
    await all(others, ({ cluster }) => cluster.role === "leads");
    assertEquals((await leader.state()).cluster.role, "cut_off");
    assertEquals(await leader.proxy.ask(), "a");
    await a.kill();
    await all(others, serve(b));
    await net.heal();
    await leader.proxy.event("coordinator.reached");
    await all(machines, serve(b));
    for (const { proxy } of machines) assertEquals(await proxy.ask(), "b");
    assertEquals(await runs(folder), ["start", "failover"]);
  });
}

test("halves: the side with most members of etcd decides, the other one promotes nothing", async () => {
  await using it = await scene(3);
  const { net, a, b, machines, folder } = it;
  const leader = await leaderOf(machines);
  const others = machines.filter((each) => each !== leader);
  // The leader is on the small side, with one member of etcd and the server that works for it.
  await net.part([leader.name, "e0", "a"], ["e1", "e2", "b", ...others.map(({ name }) => name)]);
  await leader.proxy.event("coordinator.lost");
  await all(others, serve(b));
  assertEquals((await leader.state()).active, a.name);
  assertEquals(leader.proxy.events("promotion.started", { to: b.name }), []);
  await net.heal();
  await all(machines, serve(b));
  assertEquals(await runs(folder), ["start", "failover"]);
});

test("of two proxies, the one whose clients fail is believed, unless it reaches no server at all", async () => {
  await using it = await scene(2);
  const { net, a, b, machines } = it;
  const [one, other] = machines as [Machine, Machine];
  await net.part([one.name], ["a", "b"]);
  // Its clients fail, because of its own network.
  const first = one.proxy.ask();
  // It is awaited late.
  first.catch(() => {});
  await one.proxy.event("failover.contested", { upstream: a.name });
  await one.proxy.event("upstream.down", { upstream: b.name });
  await one.proxy.event("clients.held");
  await all([other], serve(a));
  await net.heal();
  await all(machines, serve(a));
  assertEquals(await first, "a");
  for (const { proxy } of machines) {
    assertEquals(proxy.events("promotion.started").filter(({ move }) => move !== "start"), []);
  }
  // Now it reaches another server, and only its clients use the one that it does not reach.
  await all(
    [one],
    ({ upstreams }) =>
      upstreams.every(({ verdict, last_results }) =>
        verdict === "up" && last_results.at(-1)!.passed
      ),
  );
  await net.part([one.name], ["a"]);
  const second = one.proxy.ask();
  second.catch(() => {});
  await all(machines, serve(b));
  assertEquals(await second, "b");
});
