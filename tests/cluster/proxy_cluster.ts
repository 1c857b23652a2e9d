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
import { breachesOf, readTriggers, type TriggerLine, type Write } from "./history.ts";
import { Way } from "./way.ts";

const RECORDER = new URL("./recorder_program.ts", import.meta.url).pathname;

/** The length of a lease, in milliseconds: the shortest that there is. */
export const LEASE_MS = 5_000;

type Flags = Readonly<Record<string, string | true>>;

/** A server that takes writes. */
export class Recorder implements AsyncDisposable {
  readonly name: string;
  readonly #port = unusedPort();
  readonly #file: string;
  #child: Child | undefined;

  constructor(file: string) {
    this.name = `127.0.0.1:${this.#port}`;
    this.#file = file;
  }

  async start(): Promise<void> {
    const begun = Promise.withResolvers<void>();
    this.#child = new Child(Deno.execPath(), {
      args: ["run", "-A", "--quiet", "--no-check", RECORDER, String(this.#port), this.#file],
      onOut: () => begun.resolve(),
    });
    await withTestDeadline("a recorder", begun.promise);
  }

  async kill(): Promise<void> {
    await this.#child?.kill();
  }

  /** The writes that it took. */
  async writes(): Promise<Write[]> {
    const text = await Deno.readTextFile(this.#file).catch(() => "");
    return text.split("\n").filter((line) => line !== "").map((line) => {
      const [id, at] = line.split(" ");
      return { upstream: this.name, id: id!, at: Number(at) };
    });
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

/** The trigger: it notes what happens, and takes as long as the file `seconds` says. */
const TRIGGER = `exec 9>>lock
note() {
  echo "$1 $FAILOVER_EVENT_ID $FAILOVER_EVENT $FAILOVER_TO $FAILOVER_EPOCH $FAILOVER_FENCE $(date +%s%3N)" >>runs
}
flock -n 9 || { note overlap; exit 9; }
note begin
sleep "$(cat seconds)"
note end`;

export class ProxyCluster implements AsyncDisposable {
  readonly members: Member[] = [];

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
    const [first, second] = [new Recorder(folder.at("first")), new Recorder(folder.at("second"))];
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
  async add(flags: Flags = {}, upstreams = [this.first, this.second]): Promise<Member> {
    const number = this.members.length;
    const ways = this.etcd.members.map(({ address }) => new Way(address));
    const control = await Control.make();
    const check = await this.folder.script(`check-${number}.sh`, `[ ! -e "cut-${number}-$1" ]`);
    const proxy = spawnProxy({
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
    this.members.push(member);
    return member;
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

  /** The breaches of the rules in the whole history. */
  async breaches(): Promise<string[]> {
    const writes = [...await this.first.writes(), ...await this.second.writes()];
    return breachesOf(await this.triggers(), writes.sort((a, b) => a.at - b.at));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.members.map((member) => member[Symbol.asyncDispose]()));
    await this.first[Symbol.asyncDispose]();
    await this.second[Symbol.asyncDispose]();
    await this.etcd[Symbol.asyncDispose]();
    await this.folder[Symbol.asyncDispose]();
  }
}
