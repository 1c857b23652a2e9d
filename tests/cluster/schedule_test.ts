/**
 * The schedules themselves, in short: what `deno task cluster` runs for many seeds. Each fault begins, shows, and ends,
 * and a short schedule of some of them breaks no rule.
 */
import { assert, assertEquals } from "@std/assert";
import { ETCD, EtcdCluster } from "../harness/etcd.ts";
import { testWithPrograms } from "../harness/scenario.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { EtcdHistory } from "./etcd_history.ts";
import { FAULTS } from "./faults.ts";
import { postgresTemplate } from "./postgres_servers.ts";
import { runSchedule, SCHEDULE_NEEDS } from "./schedule.ts";
import { canSlowDisks, slowDisk } from "./slow_disk.ts";

/** Longer than any of these faults needs; a busy machine must not fail the test. */
const BACK_MS = 120_000;

testWithPrograms("a short schedule with PostgreSQL breaks no rule", SCHEDULE_NEEDS, async () => {
  await using template = await postgresTemplate();
  const faults = ["a server dies (kill -9) and comes back"];
  // With this seed it is the primary, for so long that its standby is promoted.
  const outcome = await runSchedule(47, { template, faults, faultsMs: 1, backMs: BACK_MS });
  assertEquals(outcome.breaches, [], outcome.evidence);
  assertEquals(outcome.faults.map(({ name }) => name), faults);
  assert(outcome.acknowledged > 0);
});

testWithPrograms("a short schedule with recorders breaks no rule", SCHEDULE_NEEDS, async () => {
  const faults = ["a server dies (kill -9) and comes back"];
  const outcome = await runSchedule(2, { faults, faultsMs: 1, backMs: BACK_MS });
  assertEquals(outcome.breaches, [], outcome.evidence);
  assertEquals(outcome.faults.map(({ name }) => name), faults);
});

testWithPrograms(
  "a slow disk delays what etcd stores, until it ends",
  [...ETCD === undefined ? ["etcd"] : [], ...canSlowDisks() ? [] : ["strace that may trace"]],
  async () => {
    await using etcd = await EtcdCluster.start(1);
    const [member] = etcd.members;
    const store = async () => {
      const body = JSON.stringify({ key: btoa("key"), value: btoa("value") });
      const url = `${member!.endpoint}/v3/kv/put`;
      const since = performance.now();
      await (await fetch(url, { method: "POST", body })).body?.cancel();
      return performance.now() - since;
    };
    const end = await slowDisk(etcd.members);
    assert(end !== undefined);
    // The kernel holds the fsync that the write waits for, so that it cannot take less.
    assert(await withTestDeadline("a slow write", store()) >= 300);
    await end();
    await withTestDeadline("a write", store());
    assertEquals(await new EtcdHistory(etcd).leadingMember(), member);
  },
);

Deno.test("each fault has a name of its own that fits the table", () => {
  for (const name of Object.keys(FAULTS)) assert(!name.includes("|") && name.length < 80, name);
});
