/**
 * What a proxy does that sees the active upstream down while another one does not, with packets that are really lost: it
 * serves on, refuses, or the traffic of both decides.
 */
import { assert, assertEquals } from "@std/assert";
import { ETCDCTL } from "../harness/etcd.ts";
import type { LineConn } from "../harness/line_conn.ts";
import { ENGINES } from "../harness/scenario.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import {
  all,
  ETCDS,
  leaderOf,
  type Machine,
  MAY_PART,
  scene,
  serve,
} from "./testing/partition_scene.ts";

/** Each role once, and each engine. */
const CASES = [
  { relay: ENGINES[0]!, role: "leads" },
  { relay: ENGINES.at(-1)!, role: "follows" },
] as const;

/** The proxy that leads or follows, and the other one. */
async function pairOf(machines: readonly Machine[], role: "leads" | "follows") {
  const leader = await leaderOf(machines);
  const follower = machines.find((each) => each !== leader)!;
  return role === "leads" ? [leader, follower] as const : [follower, leader] as const;
}

/** Resolves with whether a client of the proxy gets an answer. */
async function isServed({ proxy }: Machine): Promise<boolean> {
  try {
    await proxy.ask();
    return true;
  } catch (error) {
    // It is closed without an answer, or reset.
    if (/waited/.test(String(error))) throw error;
    return false;
  }
}

/** A client that asks again and again on one connection, until it is disposed of. */
class TalkingClient implements AsyncDisposable {
  readonly #conn: LineConn;
  readonly #work: Promise<number>;
  #isOver = false;

  private constructor(conn: LineConn) {
    this.#conn = conn;
    this.#work = this.#talk();
  }

  static async start({ proxy }: Machine): Promise<TalkingClient> {
    return new TalkingClient(await proxy.connect());
  }

  /** Resolves with the number of answers so far, when the client has ended. */
  async end(): Promise<number> {
    this.#isOver = true;
    return await this.#work;
  }

  async #talk(): Promise<number> {
    for (let count = 0;; count++) {
      if (this.#isOver) return count;
      await this.#conn.say("who");
      assertEquals(await withTestDeadline("an answer", this.#conn.line()), "a");
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end().catch(() => {});
    this.#conn.close();
  }
}

/** Resolves when etcd has it that clients of a proxy move bytes, which that tells a moment after they do. */
async function flowIsTold({ net, etcd }: Awaited<ReturnType<typeof scene>>): Promise<void> {
  const [program, ...args] = [...net.command(ETCDS[0]!), ETCDCTL!];
  const endpoint = etcd.endpoints[0]!;
  const keys = ["--command-timeout=20s", "get", "--prefix", "/failover/v1/test/tcp/seen/"];
  const get = new Deno.Command(program!, { args: [...args, `--endpoints=${endpoint}`, ...keys] });
  await untilTrue("the traffic to be told", async () => {
    const { stdout } = await get.output();
    return new TextDecoder().decode(stdout).includes('"traffic":"flows"');
  });
}

/** The moves of all proxies but the first one. */
const movesOf = (machines: readonly Machine[]) =>
  machines.flatMap(({ proxy }) => proxy.events("promotion.started"))
    .filter(({ move }) => move !== "start").map(({ to }) => to);

for (const { relay, role } of CASES) {
  Deno.test({
    name:
      `votes: [${relay}] a proxy that ${role} and reaches nobody refuses its clients after the hold`,
    ignore: !MAY_PART,
    fn: async () => {
      await using it = await scene(2, { relay, hold: "2s" });
      const { net, a, machines } = it;
      const [one, other] = await pairOf(machines, role);
      await net.part([one.name], ["a", "b"]);
      await one.proxy.event("failover.contested", { upstream: a.name });
      const held = await one.proxy.event("clients.held");
      await one.proxy.event("clients.refused", {}, held);
      assertEquals((await one.state()).admission, "closed");
      assertEquals(await isServed(one), false);
      // The others go on, whoever of them led, and no trigger runs.
      await all([other], (state) => serve(a)(state) && state.cluster.role === "leads");
      assert(await isServed(other));
      await net.heal();
      await all(machines, serve(a));
      assert(await isServed(one));
      assertEquals(movesOf(machines), []);
    },
  });

  Deno.test({
    name:
      `votes: [${relay}] the traffic breaks a tie of two, if it is the one that ${role} that sees it down`,
    ignore: !MAY_PART || ETCDCTL === undefined,
    fn: async () => {
      await using it = await scene(2, { relay, hold: "2s" });
      const { net, a, b, machines } = it;
      const [one, other] = await pairOf(machines, role);
      await using talking = await TalkingClient.start(other);
      await flowIsTold(it);
      await net.part([one.name], ["a"]);
      await one.proxy.event("failover.contested", { upstream: a.name });
      // Clients of the one fail, those of the other move bytes: it stays, through several rounds of checks.
      for (let count = 0; count < 3; count++) assertEquals(await isServed(one), false);
      assertEquals(movesOf(machines), []);
      await all(machines, serve(a));
      assert(await talking.end() > 0);
      // Nobody is served by it any more, and clients of the one still fail.
      const search = async () => {
        while (!await isServed(one));
      };
      await withTestDeadline("a client of the one to be served", search());
      await all(machines, serve(b));
      assertEquals(movesOf(machines), [b.name]);
    },
  });
}
