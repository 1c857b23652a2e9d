/** Real proxies with one real etcd, for what needs no cut ways and no writes: each has a control socket. */
import { assertEquals } from "@std/assert";
import { Control } from "../../harness/control.ts";
import { EtcdCluster } from "../../harness/etcd.ts";
import { Folder } from "../../harness/folder.ts";
import { type Flags, type Proxy, spawnProxy } from "../../harness/proxy.ts";
import { withTestDeadline } from "../../harness/test_deadline.ts";
import { startUpstream, type UpstreamProcess } from "../../harness/upstream.ts";

/** The state of one proxy, as far as these tests look at it. */
export interface ProxyState {
  readonly active: string | null;
  readonly admission: string;
  readonly epoch: number;
  readonly ready: boolean;
  readonly cluster: {
    readonly role: string;
    readonly leader: string | null;
    readonly proxies: readonly Record<string, unknown>[];
    readonly coordinator_trouble: string | null;
  };
  readonly [field: string]: unknown;
}

/** One proxy and its control socket. */
export interface SmallMember {
  readonly proxy: Proxy;
  readonly control: Control;
  state(): Promise<ProxyState>;
}

/**
 * A proxy gives up what it has by a lease of 15 s when it has not renewed it for 10 s, which a busy machine does not
 * cost it; and waits for the end of such a lease are shorter than the deadline of a test.
 */
const LEASE = "15s";
/** How often a state is asked for that a test waits for, in milliseconds. */
const LOOK_MS = 50;

const NOTES = `echo "$FAILOVER_EVENT $FAILOVER_EPOCH $FAILOVER_FENCE" >>runs`;

export class SmallCluster implements AsyncDisposable {
  readonly members: SmallMember[] = [];
  readonly #stack: AsyncDisposableStack;
  readonly #flags: Flags;

  private constructor(
    stack: AsyncDisposableStack,
    readonly etcd: EtcdCluster,
    readonly folder: Folder,
    readonly first: UpstreamProcess,
    readonly second: UpstreamProcess,
    flags: Flags,
  ) {
    this.#stack = stack;
    this.#flags = flags;
  }

  /**
   * Starts etcd, two upstreams and `count` proxies; resolves when all of them serve the first upstream. With
   * `hasTrigger` each run of the trigger is noted, see `runs`.
   */
  static async start(
    count: number,
    flags: Flags = {},
    { hasTrigger = false, etcdArgs = [] }: {
      readonly hasTrigger?: boolean;
      readonly etcdArgs?: readonly string[];
    } = {},
  ): Promise<SmallCluster> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await Folder.make());
    const etcd = stack.use(await EtcdCluster.start(1, { args: etcdArgs }));
    const first = stack.use(await startUpstream({ says: "first" }));
    const second = stack.use(await startUpstream({ says: "second" }));
    const trigger = hasTrigger ? { "on-failover": await folder.script("trigger.sh", NOTES) } : {};
    const all = { ...trigger, ...flags };
    const cluster = new SmallCluster(stack.move(), etcd, folder, first, second, all);
    try {
      for (let number = 0; number < count; number++) await cluster.add();
      await cluster.all(({ active, admission, cluster: { proxies } }) =>
        active === first.name && admission === "open" && proxies.length === count
      );
      return cluster;
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The value of `--coordinator`. */
  get coordinator(): string {
    return `etcd://${this.etcd.members.map(({ address }) => address).join(",")}/test`;
  }

  /** Starts one more proxy. `main` is a program that replaces the proxy's own. */
  async add(flags: Flags = {}, main?: string): Promise<SmallMember> {
    const control = this.#stack.use(await Control.make());
    const proxy = this.#stack.use(spawnProxy({
      upstreams: [this.first, this.second],
      flags: {
        ...{ "coordinator": this.coordinator, "coordinator-lease": LEASE, "hold": "30s" },
        ...{ control: control.path, ...this.#flags, ...flags },
      },
      ...main === undefined ? {} : { main },
    }));
    const state = async () => await (await control.get("state")).json() as ProxyState;
    const member = { proxy, control, state };
    this.members.push(member);
    // Before that there is no control socket.
    await proxy.event("proxy.started");
    return member;
  }

  /** Resolves when the state of each of `members` is as wanted. */
  async all(
    isWanted: (state: ProxyState) => boolean,
    members: readonly SmallMember[] = this.members,
  ): Promise<void> {
    let last: unknown;
    const search = async () => {
      for (const { state } of members) {
        for (;;) {
          const found = await state().catch((error) => last = error);
          // While it begins, a proxy knows nothing of its cluster.
          if (!(found instanceof Error) && found.cluster && isWanted(found)) break;
          last = found;
          await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
        }
      }
    };
    await withTestDeadline("all proxies to be as wanted", search(), () => JSON.stringify(last));
  }

  /** Resolves when all of `members` send their clients to the upstream. */
  async serve({ name }: { readonly name: string }, members = this.members): Promise<void> {
    await this.all(({ active, admission }) => active === name && admission === "open", members);
  }

  /** The proxy that leads, and those that do not; waits for one. */
  async roles(): Promise<{ readonly leader: SmallMember; readonly followers: SmallMember[] }> {
    const search = async () => {
      for (;;) {
        for (const leader of this.members) {
          const state = await leader.state().catch(() => undefined);
          if (state?.cluster?.role === "leads") {
            return { leader, followers: this.members.filter((each) => each !== leader) };
          }
        }
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    };
    return await withTestDeadline("a proxy that leads", search());
  }

  /** The events of all triggers so far, whose epochs and fences must have grown. */
  async runs(): Promise<string[]> {
    const lines = (await this.folder.read("runs")).trim().split("\n").map((line) =>
      line.split(" ")
    );
    for (const column of [1, 2]) {
      const numbers = lines.map((line) => Number(line[column]));
      assertEquals(numbers, [...new Set(numbers)].sort((x, y) => x - y));
    }
    return lines.map(([event]) => event!);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
