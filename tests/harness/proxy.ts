/**
 * The real program in a separate process, with the permissions in the documentation. A scenario follows
 * its decisions by its JSON log: `event` finds a line, or waits for it.
 */
import { Child } from "./child.ts";
import { ask, connectTo } from "./client.ts";
import { withTestDeadline } from "./test_deadline.ts";
import { type Named } from "./upstream.ts";
import type { LineConn } from "./line_conn.ts";
import { permissionsFor } from "../../scripts/permissions.ts";
import type { Event, EventOf } from "../../src/events/events.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const MAIN = new URL("../../src/main.ts", import.meta.url).href;

/** Arguments with which `deno` runs a program with the permissions of the proxy. */
function runWith(main: string): string[] {
  return ["run", "--quiet", ...permissionsFor(Deno.build.os), main];
}

// Proxies of concurrent tests must use neither the default path nor that of a proxy which serves this
// machine. Every child process inherits this.
Deno.env.set("FAILOVER_CONTROL", "off");

/** Arguments with which `deno` runs the proxy; its own follow. */
export const EXECUTABLE: readonly string[] = runWith(MAIN);

/** How many lines of its log a failure shows. */
const LINES_SHOWN = 100;

/**
 * Scenarios wait for verdicts, so checks are more frequent than usual, and everything is logged. A proxy that shares the
 * cores with other tests may look late for what came in time: tests with an upstream that stands still set a shorter
 * `check-timeout` themselves.
 */
const QUICK: Readonly<Record<string, string>> = {
  "log-level": "debug",
  "check-interval": "200ms",
  "check-timeout": "5s",
  "max-backoff": "1s",
};

/** One line of the JSON log. */
export type Logged<T extends Event["type"]> = Omit<EventOf<T>, "type"> & {
  readonly time: string;
  readonly level: string;
  readonly service: string;
  readonly event: T;
  /** The line as a sentence. */
  readonly message: string;
  /** The number of the line in the log, from 0. */
  readonly index: number;
  /** When this process read it: the clock of the proxy may jump. In milliseconds since 1970. */
  readonly readAt: number;
};

/** The fields that a line must have; a pattern stands for any text that it matches. */
export type Wanted<T extends Event["type"]> = {
  readonly [F in keyof Logged<T>]?: Logged<T>[F] | RegExp;
};

/** Flags without their dashes; true for those that take no value. */
export type Flags = Readonly<Record<string, string | true>>;

export interface ProxyOptions {
  readonly upstreams?: readonly Named[];
  readonly flags?: Flags;
  readonly env?: Readonly<Record<string, string>>;
  /** Where clients connect; a free port of 127.0.0.1 by default. */
  readonly bind?: string;
  /** A command that starts the proxy and becomes it. */
  readonly under?: readonly string[];
  /** A program that replaces the proxy's own. */
  readonly main?: string;
}

export class Proxy implements AsyncDisposable {
  readonly #child: Child;
  /** The address for clients, in the form of `--bind`; empty if the test does not know it. */
  readonly address: string;
  readonly stdout: string[] = [];
  /** Everything it wrote to stderr, as it was written. */
  readonly log: string[] = [];
  readonly #events: Logged<Event["type"]>[] = [];
  #newLine = Promise.withResolvers<void>();
  /** Resolves when the process has ended. */
  readonly ended: Promise<Deno.CommandStatus>;

  /**
   * `main` is a program that replaces the proxy's own, such as one with a fault; `under` is a command that
   * starts the rest of its arguments with its own process id, such as `prlimit --nofile=96`.
   */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>>,
    bind = "",
    main = MAIN,
    under: readonly string[] = [],
  ) {
    this.address = bind;
    const [program, ...rest] = [...under, Deno.execPath(), ...runWith(main), ...args];
    this.#child = new Child(program!, {
      args: rest,
      env,
      onOut: (line) => this.stdout.push(line),
      onErr: (line) => this.#read(line),
    });
    this.ended = this.#child.ended;
    void this.ended.then(() => this.#newLine.resolve());
  }

  /** The last lines of its log, which explain a failure. */
  readonly lastLines = (): string => this.log.slice(-LINES_SHOWN).join("\n");

  get pid(): number {
    return this.#child.pid;
  }

  #read(line: string): void {
    if (line.startsWith("{")) {
      this.#events.push({ ...JSON.parse(line), index: this.log.length, readAt: Date.now() });
    }
    this.log.push(line);
    this.#newLine.resolve();
    this.#newLine = Promise.withResolvers();
  }

  /** All lines so far that are events. */
  get allEvents(): readonly Logged<Event["type"]>[] {
    return this.#events;
  }

  /** All lines of one kind so far. */
  events<T extends Event["type"]>(type: T, wanted: Wanted<T> = {}): Logged<T>[] {
    return this.#events.filter((logged) => fits(logged, type, wanted)) as unknown as Logged<T>[];
  }

  /** The first such line; waits for it if needed. With `after`, the first one after that line. */
  async event<T extends Event["type"]>(
    type: T,
    wanted: Wanted<T> = {},
    after?: { readonly index: number },
  ): Promise<Logged<T>> {
    const least = after?.index ?? -1;
    return await this.#found(
      `${type} ${JSON.stringify(wanted, printPattern)}`,
      () => this.events(type, wanted).find((logged) => logged.index > least),
    );
  }

  /** The first line of the log that `pattern` matches; waits for it if needed. */
  async line(pattern: RegExp): Promise<string> {
    return await this.#found(String(pattern), () => this.log.find((line) => pattern.test(line)));
  }

  /** Calls `look` after each new line, until it finds something. */
  async #found<T>(what: string, look: () => T | undefined): Promise<T> {
    let found = look();
    const search = async () => {
      while (found === undefined) {
        if (this.#child.isSilent) {
          throw new Error(`the proxy ended before ${what}\n${this.lastLines()}`);
        }
        await this.#newLine.promise;
        found = look();
      }
      return found;
    };
    return await withTestDeadline(what, search(), this.lastLines);
  }

  /** Opens a connection as a client would. */
  async connect(): Promise<LineConn> {
    return await connectTo(this.address);
  }

  /** Opens a connection, sends one question, and returns the answer. */
  async ask(question = "who"): Promise<string> {
    return await ask(this.address, question, this.lastLines);
  }

  signal(signal: Deno.Signal): void {
    this.#child.signal(signal);
  }

  /** Ends it as a service manager does; resolves with its exit code. */
  async stop(): Promise<number> {
    this.signal("SIGTERM");
    const status = await withTestDeadline("the proxy to stop", this.ended, this.lastLines);
    return status.code;
  }

  /** Kills it, so that it can write nothing more; resolves when it has ended. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }

  /** Orders it to end at once by two signals, so that it ends its scripts, too. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.signal("SIGTERM");
    this.signal("SIGINT");
    try {
      await withTestDeadline("the proxy to end at a second signal", this.ended);
    } finally {
      await this.#child.kill();
    }
  }
}

function fits(logged: object, type: string, wanted: object): boolean {
  const line = logged as Record<string, unknown>;
  return line.event === type &&
    Object.entries(wanted).every(([field, want]) =>
      want instanceof RegExp ? want.test(String(line[field])) : line[field] === want
    );
}

function printPattern(_: string, value: unknown): unknown {
  return value instanceof RegExp ? String(value) : value;
}

/** Flags as arguments of a command line. */
export function argsOf(flags: Flags): string[] {
  return Object.entries(flags).map(([name, value]) =>
    value === true ? `--${name}` : `--${name}=${value}`
  );
}

/** Starts the proxy and does not wait for anything. */
export function spawnProxy(options: ProxyOptions): Proxy {
  const bind = options.bind ?? `127.0.0.1:${unusedPort()}`;
  const args = [
    "--bind",
    bind,
    ...argsOf({ "json-logs": true, ...QUICK, ...options.flags }),
    ...(options.upstreams ? ["--hosts", options.upstreams.map((each) => each.name).join(",")] : []),
  ];
  return new Proxy(args, options.env ?? {}, bind, options.main, options.under);
}

/** Resolves when the listener that `--admin` asks for is open, which is after those of the services. */
export async function operatorsListener(
  proxy: Proxy,
  admin: string | true | undefined,
): Promise<void> {
  if (typeof admin !== "string") return;
  // With port 0 the system chooses the port.
  const address = admin.endsWith(":0") ? /^(?!unix:).*:\d+$/ : admin;
  await proxy.event("port.opened", { service: "", address });
}

/** Starts the proxy and waits until its port is open. */
export async function startProxy(options: ProxyOptions): Promise<Proxy> {
  const proxy = spawnProxy(options);
  try {
    // The operator's listener belongs to no service.
    await proxy.event("port.opened", { service: /./ });
    await operatorsListener(proxy, options.flags?.admin);
    return proxy;
  } catch (error) {
    await proxy[Symbol.asyncDispose]();
    throw error;
  }
}

/** The exit code and the output of a run of the proxy that ended by itself. */
export interface Finished {
  readonly code: number;
  readonly stdout: readonly string[];
  readonly stderr: readonly string[];
}

/** Runs the proxy with exactly these arguments until it ends by itself. */
export async function runProxy(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  await using proxy = new Proxy(args, env);
  const { code } = await withTestDeadline("the proxy to end", proxy.ended, proxy.lastLines);
  return { code, stdout: proxy.stdout, stderr: proxy.log };
}
