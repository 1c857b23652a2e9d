/**
 * Three real etcd, real proxies that share one decision through them, and two servers that take writes. Each
 * proxy reaches each etcd by a way of its own, which a test can cut. If asked for, it reaches each server by such a way
 * as well, and so does each etcd the others.
 */
import { Control } from "../harness/control.ts";
import { EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { underHosts } from "../harness/hosts.ts";
import { type Flags, type Proxy, spawnProxy } from "../harness/proxy.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { EtcdHistory } from "./etcd_history.ts";
import {
  breachesOf,
  decisionBreaches,
  lostWrites,
  type Opened,
  type Promoted,
  promotionBreaches,
  readTriggers,
  staleAnswers,
  type TriggerLine,
} from "./history.ts";
import { Recorders } from "./recorders.ts";
import type { Server, Servers } from "./servers.ts";
import { Way } from "./way.ts";
import { Writer } from "./writer.ts";

/** The proxy with a clock that jumps an hour ahead at SIGWINCH, and back at the next. */
const JUMPING = new URL("../faults/jumping_main.ts", import.meta.url).href;

/** The length of a lease, in milliseconds: the shortest that there is. */
export const LEASE_MS = 5_000;
/** How long a proxy may take to answer its operator, in milliseconds. */
const STATE_MS = 2_000;

/** One proxy with its ways to etcd, and to the servers if it has some. */
export class Member implements AsyncDisposable {
  constructor(
    readonly proxy: Proxy,
    readonly ways: readonly Way[],
    readonly serverWays: readonly Way[],
    readonly control: Control,
  ) {}

  /** It reaches no etcd any more. */
  cut(direction?: "there" | "back"): void {
    for (const way of this.ways) way.cut(direction);
  }

  heal(): void {
    for (const way of this.ways) way.heal();
  }

  /** What its clients and its operator see. */
  async state(): Promise<Record<string, unknown> & { cluster: Record<string, unknown> }> {
    return await (await this.control.get("state", STATE_MS)).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.signal("SIGCONT");
    await this.proxy[Symbol.asyncDispose]();
    for (const way of [...this.ways, ...this.serverWays]) await way[Symbol.asyncDispose]();
    await this.control[Symbol.asyncDispose]();
  }
}

/**
 * The trigger: it notes what happens, makes its host the primary if its fence is not too low, and takes as long as
 * the file `seconds-EPOCH`, `seconds-EVENT` or `seconds` says, before that if there is a file `late`.
 */
const triggerOf = (promote: string) =>
  `exec 9>>lock
note() {
  echo "$1 $FAILOVER_EVENT_ID $FAILOVER_EVENT $FAILOVER_TO $FAILOVER_EPOCH $FAILOVER_FENCE $(date +%s%3N)" >>runs
}
flock -n 9 || { note overlap; exit 9; }
seen=$(cut -d' ' -f2 primary 2>/dev/null)
[ "$FAILOVER_FENCE" -ge "\${seen:-0}" ] || { note refused; exit 3; }
note begin
echo "$FAILOVER_TO $FAILOVER_FENCE" >primary.new
mv primary.new primary
take_time() {
  for name in "$FAILOVER_EPOCH" "$FAILOVER_EVENT"; do
    [ ! -e "seconds-$name" ] || { sleep "$(cat "seconds-$name")"; return; }
  done
  sleep "$(cat seconds)"
}
[ ! -e late ] || take_time
promote() {
${promote}
}
promote || { note failed; exit 1; }
[ -e late ] || take_time
note end`;

export interface ClusterOptions {
  /** Starts the servers, whose files are in this folder. */
  readonly serve?: (folder: Folder) => Promise<Servers>;
  /** Proxies reach servers, and etcd each other, by ways that can be cut; needs the right to mount. */
  readonly splits?: boolean;
  /** Each proxy has a folder in which it remembers over a restart who served. */
  readonly remembers?: boolean;
}

export class ProxyCluster implements AsyncDisposable {
  readonly members: Member[] = [];
  /** All proxies that ever ran, by their number. */
  readonly runs: { readonly number: number; readonly proxy: Proxy }[] = [];
  readonly history: EtcdHistory;
  readonly #writers: Writer[] = [];

  private constructor(
    readonly etcd: EtcdCluster,
    /** Between members of etcd; `ways.get("0-1")` is the one by which the first reaches the second. */
    readonly peerWays: ReadonlyMap<string, Way>,
    readonly folder: Folder,
    readonly servers: Servers,
    readonly trigger: string,
    readonly splits: boolean,
    readonly flags: Flags,
    readonly remembers: boolean,
  ) {
    this.history = new EtcdHistory(etcd);
  }

  get first(): Server {
    return this.servers.first;
  }

  get second(): Server {
    return this.servers.second;
  }

  /** Starts etcd, both servers and `count` proxies; resolves when all serve the first server. */
  static async start(
    count: number,
    flags: Flags = {},
    { serve = Recorders.start, splits = false, remembers = false }: ClusterOptions = {},
  ): Promise<ProxyCluster> {
    await using started = new AsyncDisposableStack();
    const folder = started.use(await Folder.make());
    await folder.write("seconds", "0.1");
    const peerWays = new Map<string, Way>();
    const between = (from: number, to: number, port: number) => {
      const at = { hostname: `127.78.${from + 1}.${to + 1}`, port };
      peerWays.set(`${from}-${to}`, started.use(new Way(`127.0.0.1:${port}`, at)));
      return at.hostname;
    };
    const [etcd, servers] = await bothOf(
      started,
      EtcdCluster.start(3, splits ? { between } : {}),
      serve(folder),
    );
    const trigger = await folder.script("trigger.sh", triggerOf(servers.promote));
    const cluster = new ProxyCluster(
      etcd,
      peerWays,
      folder,
      servers,
      trigger,
      splits,
      flags,
      remembers,
    );
    started.defer(() => cluster.#endProxies());
    servers.attend?.(() => cluster.history.decision());
    for (let index = 0; index < count; index++) await cluster.add();
    await Promise.all(
      cluster.members.map(({ proxy }) => proxy.event("port.opened", { service: "tcp" })),
    );
    // From here on the cluster ends all of that itself.
    started.move();
    return cluster;
  }

  /** Starts one more proxy; its check passes unless there is a file `cut-NUMBER-ADDRESS`. */
  async add(
    flags: Flags = {},
    upstreams: readonly Server[] = [this.first, this.second],
    number = this.members.length,
    bind?: string,
  ): Promise<Member> {
    const ways = this.etcd.members.map(({ address }) => new Way(address));
    const control = await Control.make();
    const check = await this.folder.script(`check-${number}.sh`, `[ ! -e "cut-${number}-$1" ]`);
    const serverWays = this.splits ? this.#serverWays(number) : [];
    const hosts = serverWays.map((
      { address },
      index,
    ) => [`db${index + 1}`, address.split(":")[0]!]);
    const proxy = spawnProxy({
      ...bind === undefined ? {} : { bind },
      ...this.splits
        ? { under: await underHosts(this.folder, `hosts-${number}`, Object.fromEntries(hosts)) }
        : {},
      main: JUMPING,
      upstreams,
      flags: {
        "coordinator": `etcd://${ways.map(({ address }) => address).join(",")}/test`,
        "coordinator-lease": `${LEASE_MS}ms`,
        "on-failover": this.trigger,
        ...this.servers.flags.check === undefined ? { "check-host": check } : {},
        ...{ "hold": "30s", "check-timeout": "1s" },
        "control": control.path,
        ...this.remembers ? { "state-dir": this.folder.at(`state-${number}`) } : {},
        ...this.servers.flags,
        ...this.flags,
        ...flags,
      },
    });
    const member = new Member(proxy, ways, serverWays, control);
    this.members[number] = member;
    this.runs.push({ number, proxy });
    return member;
  }

  /** The ways of a proxy to both servers, at the ports of these. */
  #serverWays(number: number): Way[] {
    return [this.first, this.second].map(({ name }, index) => {
      const port = Number(name.slice(name.lastIndexOf(":") + 1));
      const hostname = `127.77.${number + 1}.${index + 1}`;
      return new Way(`127.0.0.1:${port}`, { hostname, port });
    });
  }

  /** Starts the proxy `number`, which has ended, again at the same address. */
  async restart(number: number): Promise<Member> {
    const old = this.members[number]!;
    const { address } = old.proxy;
    await old[Symbol.asyncDispose]();
    return await this.add({}, undefined, number, address);
  }

  /** Begins to write through each proxy, until the cluster is disposed of or `breaches` is asked for. */
  write(): readonly Writer[] {
    for (const [number, { proxy }] of this.members.entries()) {
      const open = () => this.servers.open(proxy.address);
      this.#writers.push(new Writer({ proxy: number, ...this.servers.pace, open }));
    }
    return this.#writers;
  }

  async #endWriters(): Promise<void> {
    await Promise.all(this.#writers.map((each) => each[Symbol.asyncDispose]()));
  }

  /** The proxy that leads; waits for one. */
  async leader(not?: Member): Promise<Member> {
    const search = async () => {
      for (;;) {
        for (const member of this.members.filter((each) => each !== not)) {
          const { cluster } = await member.state();
          if (cluster.role === "leads") return member;
        }
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    return await withTestDeadline("a proxy that leads", search());
  }

  /** What the triggers wrote down so far. */
  async triggers(): Promise<TriggerLine[]> {
    return readTriggers(await this.folder.read("runs").catch(() => ""));
  }

  /** Resolves with the line of a trigger that `is` accepts. */
  async triggered(is: (line: TriggerLine) => boolean): Promise<TriggerLine> {
    await this.folder.reads("runs", (text) => readTriggers(text).some(is));
    return (await this.triggers()).find(is)!;
  }

  /** Where each proxy let its clients through, so far. */
  opened(): Opened[] {
    return this.runs.flatMap(({ number, proxy }) =>
      proxy.allEvents.flatMap((each): Opened[] => {
        const { event, readAt: at } = each;
        const fields = each as unknown as { to: string; upstream: string; epoch: number };
        const { epoch } = fields;
        switch (event) {
          case "promotion.finished":
          case "decision.followed":
            return [{ proxy: number, to: fields.to, epoch, at }];
          case "service.continued":
          case "service.returned":
          case "service.failedOpen":
            return [{ proxy: number, to: fields.upstream, epoch, at }];
        }
        return [];
      })
    );
  }

  /** Which servers each proxy has made a primary itself, so far. */
  promoted(): Promoted[] {
    return this.runs.flatMap(({ proxy }) =>
      proxy.events("server.promoted").map(({ upstream, epoch, index }) => {
        const leads = proxy.events("lead.taken").filter((each) => each.index < index);
        return { by: leads.at(-1)?.instance ?? "a proxy that never led", to: upstream, epoch };
      })
    );
  }

  /** Ends the writing, and resolves with the breaches of the rules in the whole history. */
  async breaches(): Promise<string[]> {
    await this.#endWriters();
    const [decisions, triggers] = [await this.history.decisions(), await this.triggers()];
    const last = decisions.at(-1);
    const acknowledged = this.#writers.flatMap((each) => each.acknowledged);
    const answers = this.#writers.flatMap(({ reads, writes }) => [...reads, ...writes]);
    return [
      ...breachesOf(triggers),
      ...decisionBreaches(decisions, triggers),
      ...promotionBreaches(decisions, this.promoted()),
      ...staleAnswers(this.opened(), answers),
      ...last === undefined ? [] : lostWrites(acknowledged, await this.servers.rows(last.to)),
    ];
  }

  async #endProxies(): Promise<void> {
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endWriters();
    await this.#endProxies();
    await this.servers[Symbol.asyncDispose]();
    await this.etcd[Symbol.asyncDispose]();
    for (const way of this.peerWays.values()) await way[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}

/** Both results, which `stack` disposes of, also if the other one fails. */
async function bothOf<A extends AsyncDisposable, B extends AsyncDisposable>(
  stack: AsyncDisposableStack,
  one: Promise<A>,
  other: Promise<B>,
): Promise<readonly [A, B]> {
  const taken = [one, other].map((each) => each.then((value) => void stack.use(value)));
  await Promise.allSettled(taken);
  return [await one, await other];
}
