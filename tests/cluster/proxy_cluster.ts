/**
 * Three real etcd, real proxies that share one decision through them, and two servers that take writes. Each
 * proxy reaches each etcd by a way of its own, which a test can cut, and asks a file whether it may reach an
 * upstream.
 */
import { Child } from "../harness/child.ts";
import { Control } from "../harness/control.ts";
import { EtcdCluster } from "../harness/etcd.ts";
import { Folder } from "../harness/folder.ts";
import { type Proxy, spawnProxy } from "../harness/proxy.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { breachesOf, lostWrites, readTriggers, type TriggerLine } from "./history.ts";
import { Way } from "./way.ts";
import { Writer } from "./writer.ts";

/** The proxy with a clock that jumps an hour ahead at SIGWINCH, and back at the next. */
const JUMPING = new URL("../faults/jumping_main.ts", import.meta.url).href;
const RECORDER = new URL("./recorder_program.ts", import.meta.url).pathname;

/** The length of a lease, in milliseconds: the shortest that there is. */
export const LEASE_MS = 5_000;

type Flags = Readonly<Record<string, string | true>>;

/** A server that takes writes. */
export class Recorder implements AsyncDisposable {
  readonly name: string;
  readonly #port = unusedPort();
  readonly #folder: Folder;
  #child: Child | undefined;

  constructor(folder: Folder) {
    this.name = `127.0.0.1:${this.#port}`;
    this.#folder = folder;
  }

  /** All that was written to it. */
  async data(): Promise<string> {
    return await this.#folder.read(`store-${this.name}`).catch(() => "");
  }

  async start(): Promise<void> {
    const begun = Promise.withResolvers<void>();
    this.#child = new Child(Deno.execPath(), {
      args: [
        ...["run", "-A", "--quiet", "--no-check", RECORDER, this.name, String(this.#port)],
        ...[this.#folder.at(`store-${this.name}`), this.#folder.at("primary")],
      ],
      onOut: () => begun.resolve(),
    });
    await withTestDeadline("a recorder", begun.promise);
  }

  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }
}

/** One proxy with its ways to etcd. */
export class Member implements AsyncDisposable {
  constructor(
    readonly proxy: Proxy,
    readonly ways: readonly Way[],
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
    return await (await this.control.get("state")).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.proxy.signal("SIGCONT");
    await this.proxy[Symbol.asyncDispose]();
    for (const way of this.ways) await way[Symbol.asyncDispose]();
    await this.control[Symbol.asyncDispose]();
  }
}

/**
 * The trigger: it notes what happens, makes its host the primary if its fence is not too low, takes as long as
 * the file `seconds-EVENT` or `seconds` says, and copies what the other server has.
 */
const TRIGGER = `exec 9>>lock
note() {
  echo "$1 $FAILOVER_EVENT_ID $FAILOVER_EVENT $FAILOVER_TO $FAILOVER_EPOCH $FAILOVER_FENCE $(date +%s%3N)" >>runs
}
flock -n 9 || { note overlap; exit 9; }
seen=$(cut -d' ' -f2 primary 2>/dev/null)
[ "$FAILOVER_FENCE" -ge "\${seen:-0}" ] || { note refused; exit 3; }
note begin
echo "$FAILOVER_TO $FAILOVER_FENCE" >primary.new
mv primary.new primary
sleep "$(cat "seconds-$FAILOVER_EVENT" 2>/dev/null || cat seconds)"
touch "store-$FAILOVER_TO"
for store in store-*; do
  [ "$store" = "store-$FAILOVER_TO" ] || grep -vxFf "store-$FAILOVER_TO" "$store" >missing && cat missing >>"store-$FAILOVER_TO"
done
note end`;

export class ProxyCluster implements AsyncDisposable {
  readonly members: Member[] = [];
  readonly #writers: Writer[] = [];

  private constructor(
    readonly etcd: EtcdCluster,
    readonly folder: Folder,
    readonly first: Recorder,
    readonly second: Recorder,
    readonly trigger: string,
  ) {}

  /** Starts etcd, both servers and `count` proxies; resolves when all serve the first server. */
  static async start(count: number, flags: Flags = {}): Promise<ProxyCluster> {
    const folder = await Folder.make();
    await folder.write("seconds", "0.1");
    const [first, second] = [new Recorder(folder), new Recorder(folder)];
    const [etcd, trigger] = await Promise.all([
      EtcdCluster.start(3),
      folder.script("trigger.sh", TRIGGER),
      first.start(),
      second.start(),
    ]);
    const cluster = new ProxyCluster(etcd, folder, first, second, trigger);
    for (let index = 0; index < count; index++) await cluster.add(flags);
    await Promise.all(
      cluster.members.map(({ proxy }) => proxy.event("port.opened", { service: "tcp" })),
    );
    return cluster;
  }

  /** Starts one more proxy; its check passes unless there is a file `cut-NUMBER-ADDRESS`. */
  async add(
    flags: Flags = {},
    upstreams = [this.first, this.second],
    number = this.members.length,
    bind?: string,
  ): Promise<Member> {
    const ways = this.etcd.members.map(({ address }) => new Way(address));
    const control = await Control.make();
    const check = await this.folder.script(`check-${number}.sh`, `[ ! -e "cut-${number}-$1" ]`);
    const proxy = spawnProxy({
      ...bind === undefined ? {} : { bind },
      main: JUMPING,
      upstreams,
      flags: {
        "coordinator": `etcd://${ways.map(({ address }) => address).join(",")}/test`,
        "coordinator-lease": `${LEASE_MS}ms`,
        "on-failover": this.trigger,
        "check-host": check,
        "hold": "30s",
        "control": control.path,
        ...flags,
      },
    });
    const member = new Member(proxy, ways, control);
    this.members[number] = member;
    return member;
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
    for (const [index, { proxy }] of this.members.entries()) {
      this.#writers.push(new Writer(proxy.address, `w${index}`));
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

  /** Ends the writing, and resolves with the breaches of the rules in the whole history. */
  async breaches(): Promise<string[]> {
    await this.#endWriters();
    const [name] = (await this.folder.read("primary")).split(" ");
    const primary = [this.first, this.second].find((each) => each.name === name)!;
    const acknowledged = this.#writers.flatMap((each) => each.acknowledged);
    const lost = lostWrites(acknowledged, await primary.data());
    return [...breachesOf(await this.triggers()), ...lost];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#endWriters();
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
    await this.first[Symbol.asyncDispose]();
    await this.second[Symbol.asyncDispose]();
    await this.etcd[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}
