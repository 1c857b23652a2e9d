/**
 * A proxy that new processes take over from, one after another. They write to the same log, so that `proxy` follows
 * all of them.
 */
import { signalIfThere } from "./child.ts";
import { Control } from "./control.ts";
import { Folder } from "./folder.ts";
import { EXECUTABLE, type Flags, type Proxy } from "./proxy.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** What became of an upgrade. */
export interface UpgradeReply {
  readonly status: number;
  /** Why not, if it was refused. */
  readonly lines: readonly string[];
  /** The process that decides now. */
  readonly pid: number;
}

export class Upgradable<P extends Proxy = Proxy> implements AsyncDisposable {
  readonly proxy: P;
  readonly control: Control;
  readonly folder: Folder;
  /** The processes that have decided, in order. */
  readonly pids: number[];

  private constructor(proxy: P, control: Control, folder: Folder) {
    this.proxy = proxy;
    this.control = control;
    this.folder = folder;
    this.pids = [proxy.pid];
  }

  /** `start` starts the first process, with these flags. */
  static async start<P extends Proxy>(
    start: (flags: Flags, folder: Folder) => Promise<P>,
  ): Promise<Upgradable<P>> {
    const [control, folder] = [await Control.make(), await Folder.make()];
    const proxy = await start({ control: control.path }, folder);
    return new Upgradable(proxy, control, folder);
  }

  /** The process that decides. */
  get pid(): number {
    return this.pids.at(-1)!;
  }

  /** Orders an upgrade and waits for its end. */
  async upgrade(path?: string): Promise<UpgradeReply> {
    const query = path === undefined ? "" : `?${new URLSearchParams({ path })}`;
    const [status, body] = await withTestDeadline(
      "the answer to an upgrade",
      this.control.order(`upgrade${query}`),
      this.proxy.lastLines,
    );
    const to = body.to as { readonly pid: number } | undefined;
    if (to !== undefined) this.pids.push(to.pid);
    return { status, lines: (body.lines ?? []) as readonly string[], pid: this.pid };
  }

  /** An executable that runs this program instead of the proxy's own, with the arguments of the proxy. */
  async executable(main: URL): Promise<string> {
    const args = [...EXECUTABLE.slice(0, -1), main.href];
    const words = [Deno.execPath(), ...args].map((word) => `'${word}'`).join(" ");
    return await this.folder.script("failover", `exec ${words} "$@"`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Those of upgrades whose answers nobody has seen, too.
    this.pids.push(...this.proxy.events("upgrade.tookOver").map(({ toPid }) => toPid));
    for (const pid of new Set(this.pids.toReversed())) {
      for (const signal of ["SIGTERM", "SIGINT"] as const) signalIfThere(pid, signal);
    }
    try {
      await withTestDeadline("all processes to end", this.proxy.ended, this.proxy.lastLines);
    } finally {
      for (const pid of this.pids) signalIfThere(pid, "SIGKILL");
      await this.control[Symbol.asyncDispose]();
      await this.folder[Symbol.asyncDispose]();
    }
  }
}
