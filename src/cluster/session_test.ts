import { assert, assertEquals, assertRejects } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { EtcdError } from "./etcd.ts";
import { decisionText, type Seen } from "./keys.ts";
import { Session } from "./session.ts";
import { EtcdModel } from "./testing/etcd_model.ts";
import { settleIn } from "./testing/membership.ts";

const SEEN: Seen = {
  ...{ version: "1", list: ["a"], up: ["a"], down: [] },
  ...{ traffic: "none", held: 0 },
};

/** A model of etcd, and proxies that can be cut off from it. */
function fixture() {
  const clock = new ManualClock(1_000);
  const etcd = new EtcdModel(clock, () => 0.5);
  const cut = new Set<string>();
  /** How long the next message about the lead takes. */
  const late = { ms: 0 };
  const member = (instance: string, seen = () => SEEN, mayLead = () => true, fence = () => 0) => {
    const link = { delay: () => cut.has(instance) ? undefined : 1 };
    const client = etcd.client(clock, link);
    const slow = etcd.client(clock, {
      delay: (way) => {
        const ms = way === "there" ? late.ms : 0;
        late.ms = 0;
        return ms || link.delay();
      },
    });
    return new Session({
      etcd: {
        ...client,
        transact: (conditions, changes) =>
          (conditions[0]?.key === "leader" ? slow : client).transact(conditions, changes),
      },
      clock,
      instance,
      ttlS: 10,
      seen,
      fence,
      mayLead,
    });
  };
  const settle = <T>(call: Promise<T>) => settleIn(clock, call);
  return { clock, etcd, cut, late, member, settle };
}

Deno.test("Session: the first proxy leads, the second one follows, and each tells what it sees", async () => {
  const { member, settle, etcd } = fixture();
  const [p1, p2] = [member("p1"), member("p2")];
  await settle(p1.round());
  assert(p1.leads && p1.isMember);
  const stored = await settle(p2.round());
  assert(p2.isMember && !p2.leads);
  assertEquals(stored.leader?.instance, "p1");
  assertEquals([...stored.seen.keys()], ["p1", "p2"]);
  assertEquals(etcd.keys.get("seen/p2")?.lease, p2.lease);
  await settle(p1.end());
  assertEquals([...etcd.keys.keys()], ["seen/p2"]);
  await settle(p2.round());
  assert(p2.leads);
});

Deno.test("Session: whoever is cut off stops leading before another one can lead", async () => {
  const { member, settle, cut, clock } = fixture();
  const [p1, p2] = [member("p1"), member("p2")];
  await settle(p1.round());
  await settle(p2.round());
  cut.add("p1");
  await assertRejects(() => settle(p1.round()), EtcdError, "no answer");
  let endedAt: number | undefined;
  for (let ms = 0; ms < 15_000 && !p2.leads; ms += 500) {
    await clock.advance(500);
    if (!p1.leads) endedAt ??= clock.now();
    await settle(p2.round());
  }
  assert(p2.leads && !p1.leads && !p1.isMember);
  // The margin of a lease of 10 s.
  assert(clock.now() - endedAt! >= 2_500);
  cut.delete("p1");
  await settle(p1.round());
  assert(p1.isMember && !p1.leads);
});

Deno.test("Session: a proxy that may not lead gives the lead up, and takes none", async () => {
  const { member, settle } = fixture();
  let may = true;
  const p1 = member("p1", undefined, () => may);
  await settle(p1.round());
  assert(p1.leads);
  may = false;
  await settle(p1.round());
  assert(!p1.leads && p1.isMember);
  assertEquals(p1.stored?.leader, undefined);
});

Deno.test("Session: a lead that was given up without an answer is taken anew, so that a late message does not end it", async () => {
  const { member, settle, clock, late } = fixture();
  let may = true;
  const p1 = member("p1", () => SEEN, () => may);
  await settle(p1.round());
  may = false;
  late.ms = 3_000;
  await assertRejects(() => settle(p1.round()), EtcdError);
  may = true;
  await settle(p1.round());
  assert(p1.leads);
  const p2 = member("p2");
  await clock.advance(3_000);
  assertEquals((await settle(p2.round())).leader?.instance, "p1");
});

Deno.test("Session: what was removed is told again, and an ended lease is replaced", async () => {
  const { member, settle, etcd, clock } = fixture();
  const p1 = member("p1");
  await settle(p1.round());
  etcd.keys.delete("seen/p1");
  await settle(p1.round());
  await settle(p1.round());
  assert(etcd.keys.has("seen/p1"));
  const first = p1.lease;
  await clock.advance(20_000);
  assert(!p1.isMember);
  await settle(p1.round());
  assert(p1.leads && p1.lease !== first);
});

Deno.test("Session: a lease that was revoked is replaced in the same round, whatever that writes first", async () => {
  for (const isTold of [true, false]) {
    let seen = SEEN;
    const { member, settle, etcd } = fixture();
    const p1 = member("p1", () => seen);
    await settle(p1.round());
    const lease = p1.lease!;
    etcd.end(lease);
    if (!isTold) seen = { ...SEEN, up: [], down: ["a"] };
    await settle(p1.round());
    assert(p1.leads && p1.lease !== lease);
    assertEquals(etcd.keys.get("seen/p1")?.lease, p1.lease);
    assertEquals(etcd.keys.get("leader")?.lease, p1.lease);
  }
});

Deno.test("Session: leases that end as soon as they are made are no reason to go on for ever", async () => {
  const { member, settle, etcd } = fixture();
  const p1 = member("p1");
  let made = 0;
  etcd.onGrant = (lease) => {
    made++;
    etcd.end(lease);
  };
  const error = await assertRejects(() => settle(p1.round()), EtcdError, "lease");
  assertEquals([error.kind, made, p1.isMember], ["refused", 3, false]);
});

Deno.test("Session: a decision that cannot be read is not decided over", async () => {
  const { member, settle, etcd } = fixture();
  etcd.keys.set("decision", { value: "?", modRevision: 1, createRevision: 1, lease: undefined });
  const p1 = member("p1");
  const error = await assertRejects(() => settle(p1.round()), EtcdError, "cannot be read");
  assertEquals(error.kind, "refused");
  assert(!p1.isMember);
});

Deno.test("Session: a leader that somebody has written by hand leads for nobody", async () => {
  const { member, settle, etcd } = fixture();
  etcd.keys.set("leader", { value: "?", modRevision: 1, createRevision: 1, lease: undefined });
  const p1 = member("p1");
  await settle(p1.round());
  assert(p1.leads);
});

Deno.test("Session: what is older than the decision that is known is refused, and nothing is written to it", async () => {
  const { clock, etcd, member, settle } = fixture();
  const decision = (epoch: number) =>
    decisionText({
      ...{ epoch, to: "a", from: undefined, phase: "done", move: "start", reason: "", by: "one" },
    });
  const one = member("one");
  await settle(one.round());
  const direct = etcd.client(clock, { delay: () => 0 });
  const put = async (epoch: number) =>
    (await settle(direct.transact([], [{ put: "decision", value: decision(epoch) }]))).revision;
  const fence = await put(1) + 5;
  const other = member("other", undefined, undefined, () => fence);
  const before = etcd.revision;
  for (let count = 0; count < 3; count++) {
    await assertRejects(() => settle(other.round()), EtcdError, "restored from an old copy");
  }
  assertEquals([etcd.revision, other.leads], [before, false]);
  // As new as before, with the decision of the old copy.
  etcd.revision = fence;
  await assertRejects(() => settle(other.round()), EtcdError, "(epoch 1, revision");
  // One that was decided since, or none, is taken.
  assert(await put(2) >= fence);
  assertEquals((await settle(other.round())).decision?.epoch, 2);
  await settle(direct.transact([], [{ remove: "decision" }]));
  assertEquals((await settle(other.round())).decision, undefined);
});

Deno.test("Session: an answer whose call was sent before the machine was suspended does not confirm the lead", async () => {
  const { member, settle, clock, cut } = fixture();
  const p1 = member("p1");
  await settle(p1.round());
  await clock.advance(2_500);
  const round = p1.round();
  const wall = clock.wall();
  clock.wall = () => wall + 25_000;
  await settle(round);
  assert(p1.leads && p1.isInDoubt);
  cut.add("p1");
  assertEquals(await settle(p1.confirmLead().catch(() => false)), false);
  cut.delete("p1");
  assert(await settle(p1.confirmLead()));
});

Deno.test("Session: a lease that is in doubt does not last if etcd cannot be asked", async () => {
  const { member, settle, clock, cut } = fixture();
  const p1 = member("p1");
  await settle(p1.round());
  const { lease } = p1;
  const wall = clock.wall();
  clock.wall = () => wall + 25_000;
  cut.add("p1");
  await assertRejects(() => settle(p1.round()), EtcdError);
  assertEquals([p1.leads, p1.isMember], [false, false]);
  cut.delete("p1");
  await settle(p1.round());
  assertEquals([p1.leads, p1.lease], [true, lease]);
  // Without a doubt one call may fail.
  cut.add("p1");
  await clock.advance(2_500);
  await assertRejects(() => settle(p1.round()), EtcdError);
  assert(p1.leads);
});

Deno.test("Session: what it told before, and arrives late, is told anew", async () => {
  const { clock, etcd, member, settle } = fixture();
  let seen = SEEN;
  const p1 = member("p1", () => seen);
  await settle(p1.round());
  const before = etcd.keys.get("seen/p1")!;
  seen = { ...SEEN, up: [], down: ["a"] };
  await settle(p1.round());
  const direct = etcd.client(clock, { delay: () => 0 });
  const { value, lease } = before;
  await settle(direct.transact([], [{ put: "seen/p1", value, lease: lease! }]));
  await settle(p1.round());
  const { seen: stored } = await settle(p1.round());
  assertEquals(stored.get("p1")?.down, ["a"]);
  const { revision } = etcd;
  await settle(p1.round());
  assertEquals(etcd.revision, revision, "it is told once");
});

Deno.test("Session: what was read before the machine was suspended counts for nothing after that", async () => {
  const { member, settle, clock, cut } = fixture();
  const [p1, p2] = [member("p1"), member("p2")];
  for (const each of [p1, p2]) await settle(each.round());
  const wall = clock.wall();
  clock.wall = () => wall + 25_000;
  assert(p2.isInDoubt);
  const round = p2.round().catch(() => {});
  // The lease is renewed, and then nothing can be read.
  while (p2.isInDoubt) await clock.advance(1);
  cut.add("p2");
  assertEquals(p2.isMember, false);
  await settle(round);
  assertEquals(p2.isMember, false);
  cut.delete("p2");
  await settle(p2.round());
  assert(p2.isMember);
});

Deno.test("Session: one that was shown as no member after a suspension is one again when it has read", async () => {
  const { member, settle, clock, cut } = fixture();
  const [p1, p2] = [member("p1"), member("p2")];
  for (const each of [p1, p2]) await settle(each.round());
  const wall = clock.wall();
  clock.wall = () => wall + 25_000;
  cut.add("p2");
  await assertRejects(() => settle(p2.round()), EtcdError);
  assertEquals(p2.isMember, false);
  cut.delete("p2");
  const round = p2.round().catch(() => {});
  // The lease is renewed, and then nothing can be read.
  while (p2.renewAt < 0) await clock.advance(1);
  cut.add("p2");
  await settle(round);
  assertEquals(p2.isMember, false);
});

Deno.test("Session: one that leads goes on with its lead when its lease is renewed after a suspension", async () => {
  const { member, settle, clock } = fixture();
  const p1 = member("p1");
  await settle(p1.round());
  const wall = clock.wall();
  clock.wall = () => wall + 25_000;
  assertEquals([p1.isInDoubt, await settle(p1.confirmLead())], [true, true]);
});

Deno.test("Session: one whose every second call fails goes on to lead", async () => {
  const { etcd, settle, clock } = fixture();
  const { watch, revoke, ...client } = etcd.client(clock, { delay: () => 1 });
  let [calls, failures] = [0, 0];
  let isHalf = false;
  // As behind a balancer that has not seen yet that one of two members is dead.
  const half = <A extends unknown[], T>(call: (...args: A) => Promise<T>) =>
  async (
    ...args: A
  ): Promise<T> => {
    if (!isHalf || ++calls % 2 > 0) return await call(...args);
    failures++;
    throw new EtcdError("unreachable", "HTTP status 503");
  };
  const session = new Session({
    etcd: {
      ...{ watch, revoke, read: half(client.read), transact: half(client.transact) },
      ...{ grant: half(client.grant), renew: half(client.renew) },
    },
    ...{ clock, instance: "p1", ttlS: 10, seen: () => SEEN },
    ...{ mayLead: () => true, fence: () => 0 },
  });
  await settle(session.round());
  isHalf = true;
  const end = clock.now() + 60_000;
  while (clock.now() < end) {
    const isDone = await settle(session.round()).then(() => true, () => false);
    assert(session.leads, `after ${failures} failures`);
    await clock.advance(isDone ? Math.max(0, session.renewAt - clock.now()) : 300);
  }
  assert(failures > 10);
});
