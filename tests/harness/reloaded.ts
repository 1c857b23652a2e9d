/** The real program with a config file that a test changes while it runs. */
import { stringify } from "@std/yaml";
import { ask, connectTo } from "./client.ts";
import { type CommandRun, runCommand } from "./command.ts";
import { Control } from "./control.ts";
import type { LineConn } from "./line_conn.ts";
import { Proxy, type ProxyOptions } from "./proxy.ts";
import { withTestDeadline } from "./test_deadline.ts";

/** The options of a file, by their names in it. */
export type FileOptions = Readonly<Record<string, unknown>>;

/** Scenarios wait for verdicts, so checks are more frequent than usual, and everything is logged. */
const QUICK: FileOptions = { log_level: "debug", json_logs: true };
const QUICK_SERVICE: FileOptions = {
  check_interval: "200ms",
  // Upstreams share the cores with other tests.
  check_timeout: "5s",
  max_backoff: "1s",
};

/** The part of a service's state that tests read. */
export interface ServiceState {
  readonly service: string;
  readonly epoch: number;
  readonly counters: Readonly<Record<string, number>>;
}

/** A session of a client that asks its upstream one question after another. */
export class AskingSession implements Disposable {
  readonly #conn: LineConn;

  constructor(conn: LineConn) {
    this.#conn = conn;
  }

  /** The answer; undefined when the other side has ended the session. */
  async ask(question = "who"): Promise<string | undefined> {
    try {
      await this.#conn.say(question);
      return await withTestDeadline("an answer in the session", this.#conn.line());
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return undefined;
      if (error instanceof Deno.errors.BrokenPipe) return undefined;
      throw error;
    }
  }

  /** Resolves when the other side has ended it. */
  async ends(): Promise<void> {
    const end = (async () => {
      while (await this.#conn.line() !== undefined);
    })().catch(() => {});
    await withTestDeadline("the end of the session", end);
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

/** What a proxy runs in, as `ProxyOptions` has it. */
type Surroundings = Pick<ProxyOptions, "env" | "main" | "under">;

/** A proxy, its file and its control socket. */
export class ReloadedProxy extends Proxy {
  /** The path of its control socket. */
  readonly control: string;
  readonly #control: Control;
  readonly #file: string;
  readonly #args: readonly string[];

  constructor(
    control: Control,
    file: string,
    args: readonly string[],
    { env = {}, main, under }: Surroundings,
  ) {
    super(args, { ...env, FAILOVER_CONTROL: control.path }, "", main, under);
    this.control = control.path;
    this.#control = control;
    this.#file = file;
    this.#args = args;
  }

  /** Writes the file at once: a reload that is under way reads the old one or the new one. */
  async write(text: string): Promise<void> {
    const whole = `${this.#file}.${crypto.randomUUID()}`;
    await Deno.writeTextFile(whole, text);
    await Deno.rename(whole, this.#file);
  }

  async remove(): Promise<void> {
    await Deno.remove(this.#file);
  }

  /** `failover reload`, with other options in the file unless they are left out. */
  async reload(options?: FileOptions, flags: readonly string[] = []): Promise<CommandRun> {
    if (options !== undefined) await this.write(textOf(options));
    return await runCommand(["reload", ...flags, "--control", this.#control.path]);
  }

  /** The same without a command, whose process takes time to start: the status and the answer of the proxy. */
  async reloadAtOnce(options: FileOptions) {
    await this.write(textOf(options));
    return await withTestDeadline("a reload", this.#control.order("reload"), this.lastLines);
  }

  /** What a start with the present file says on stderr. */
  async startLines(): Promise<string[]> {
    const { err } = await runCommand([...this.#args, "--check-config"]);
    return err.split("\n");
  }

  async session(address: string): Promise<AskingSession> {
    return new AskingSession(await connectTo(address));
  }

  /** Asks on a connection of its own who serves at this address. */
  async askAt(address: string): Promise<string> {
    return await ask(address, "who", this.lastLines);
  }

  async state(): Promise<ServiceState> {
    return await (await this.#control.get("state")).json();
  }

  async states(): Promise<{ readonly services: readonly ServiceState[] }> {
    const body = await (await this.#control.get("state")).json();
    return "services" in body ? body : { services: [body] };
  }

  async metrics(): Promise<string> {
    return await (await this.#control.get("metrics")).text();
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    await this.#control[Symbol.asyncDispose]();
  }
}

/** Starts the proxy with these options in its file. */
export async function startReloaded(
  options: FileOptions,
  { flags = [], ...surroundings }: Surroundings & { readonly flags?: readonly string[] } = {},
): Promise<ReloadedProxy> {
  const control = await Control.make();
  const file = `${control.path}.yaml`;
  await Deno.writeTextFile(file, textOf(options));
  return new ReloadedProxy(control, file, ["--config", file, ...flags], surroundings);
}

export function textOf({ services, ...rest }: FileOptions): string {
  const all = Object.entries((services ?? {}) as Record<string, FileOptions>)
    .map(([name, service]) => [name, { ...QUICK_SERVICE, ...service }]);
  const options = { ...QUICK, ...rest };
  return stringify(
    services === undefined ? options : { ...options, services: Object.fromEntries(all) },
  );
}
