/**
 * A relay in a test with real upstreams and clients on loopback, the events and doubts that it reported, and
 * ways to wait for facts. Nothing here sleeps for a guessed time: `until` checks a fact again and again,
 * and throws at its deadline.
 */
import { parseAddress } from "../../base/address.ts";
import { type Clock, realClock, sleep } from "../../base/clock.ts";
import { ConfigError } from "../../base/config_error.ts";
import type { Event, EventOf } from "../../events/events.ts";
import type { Doubt } from "../../failover/ports.ts";
import type { Upstream } from "../../failover/upstream.ts";
import type { Resolver } from "../../net/resolve.ts";
import type { Relay, RelayContext, RelayCounters, RelaySettings } from "../engine.ts";
import { unusedPort } from "../../base/testing/ports.ts";
import { untilRefused } from "../../net/testing/refused.ts";

/** Makes the engine under test. */
export type MakeRelay = (
  settings: RelaySettings,
  context: RelayContext,
) => Relay | Promise<Relay>;

export const SETTINGS: RelaySettings = {
  bind: { kind: "tcp", host: "127.0.0.1", port: 0 },
  // Longer than this process is kept from a core on a busy machine.
  connectTimeoutMs: 60_000,
  idleTimeoutMs: 0,
  holdMs: 60_000,
  heldMax: 1_000,
  connectionsMax: 10_000,
  workers: 1,
  sendProxy: "none",
};

/** The deadline of every wait in tests; far longer than a loaded machine needs. */
const TEST_DEADLINE_MS = 60_000;

const SLOW_CONNECT = "no answer to connect: 500 ms";

/** Waits until `fact` holds. */
export async function until(what: string, fact: () => boolean): Promise<void> {
  const end = realClock.now() + TEST_DEADLINE_MS;
  while (!fact()) {
    if (realClock.now() > end) throw new Error(`Timed out waiting until ${what}`);
    await sleep(realClock, 1);
  }
}

/** A running relay, with the events it has published so far. */
export class RelayFixture implements AsyncDisposable {
  readonly events: Event[] = [];
  readonly doubts: Doubt[] = [];
  /** Of the stream engine: a connect takes long, as any may by the real clock, where this process may stand still. */
  readonly slowDoubts: Doubt[] = [];
  relay!: Relay;
  /** Run after each event and doubt. */
  readonly #waiting = new Set<() => void>();

  static async start(
    make: MakeRelay,
    settings: Partial<RelaySettings> = {},
    clock: Clock = realClock,
    resolver?: Resolver,
  ): Promise<RelayFixture> {
    const fixture = new RelayFixture();
    fixture.relay = await make({ ...SETTINGS, ...settings }, {
      clock,
      ...resolver === undefined ? {} : { resolver },
      publish(event) {
        fixture.events.push(event);
        fixture.#reported();
      },
      doubt(doubt) {
        const isSlow = clock === realClock && doubt.reason === SLOW_CONNECT;
        fixture[isSlow ? "slowDoubts" : "doubts"].push(doubt);
        fixture.#reported();
      },
    });
    return fixture;
  }

  all<T extends Event["type"]>(type: T): EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type);
  }

  /** Waits for the `nth` event of a type, counted from the start. */
  async event<T extends Event["type"]>(type: T, nth = 1): Promise<EventOf<T>> {
    await this.#until(
      `event ${type} was published ${nth} times`,
      () => this.all(type).length >= nth,
    );
    return this.all(type)[nth - 1]!;
  }

  async doubt(nth = 1): Promise<Doubt> {
    await this.#until(`${nth} doubts were reported`, () => this.doubts.length >= nth);
    return this.doubts[nth - 1]!;
  }

  #reported(): void {
    for (const check of [...this.#waiting]) check();
  }

  /** Waits until an event or a doubt makes `fact` hold. */
  #until(what: string, fact: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = realClock.after(TEST_DEADLINE_MS, () => {
        this.#waiting.delete(check);
        reject(new Error(`Timed out waiting until ${what}`));
      });
      const check = () => {
        if (!fact()) return;
        cancel();
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  /** Waits until a fact about the counters holds. They change without an event, so they are polled. */
  async counters(what: string, fact: (counters: RelayCounters) => boolean): Promise<void> {
    await until(what, () => fact(this.relay.counters()));
  }

  /** A new client of the relay, at the address it opened last. */
  async connect(): Promise<Deno.Conn> {
    const opened = this.all("port.opened").at(-1);
    if (opened === undefined) throw new Error("The port was never opened");
    const address = parseAddress(opened.address);
    if (address instanceof ConfigError) throw new Error(`Not an address: ${opened.address}`);
    return address.kind === "unix"
      ? await Deno.connect({ transport: "unix", path: address.path })
      : await Deno.connect({ hostname: loopback(address.host), port: address.port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
  }
}

function loopback(host: string): string {
  if (host === "::") return "::1";
  return host === "0.0.0.0" ? "127.0.0.1" : host;
}

/** What an upstream does with one connection; the connection is closed when it returns. */
export type ServeConn = (conn: Deno.Conn) => Promise<void>;

/** A server on loopback that can be closed and opened again on its port. */
export class TestUpstream implements AsyncDisposable {
  readonly conns: Deno.Conn[] = [];
  readonly upstream: Upstream;
  #listener: Deno.Listener | undefined;
  readonly #serving = new Set<Promise<void>>();
  #accepting: Promise<void> = Promise.resolve();

  constructor(readonly name: string, readonly serve: ServeConn, unixPath?: string) {
    if (unixPath !== undefined) {
      this.#listener = Deno.listen({ transport: "unix", path: unixPath });
      this.upstream = { name, address: { kind: "unix", path: unixPath }, rank: 0 };
      this.#accepting = this.#accept(this.#listener);
      return;
    }
    // While it is closed, nobody else gets this port.
    const port = unusedPort();
    const listener = this.#listener = Deno.listen({ hostname: "127.0.0.1", port });
    this.upstream = { name, address: { kind: "tcp", host: "127.0.0.1", port }, rank: 0 };
    this.#accepting = this.#accept(listener);
  }

  /** From here on connects are refused; connections that exist continue. */
  async close(): Promise<void> {
    this.#listener?.close();
    this.#listener = undefined;
    await this.#accepting;
    const { address } = this.upstream;
    if (address.kind === "tcp") await untilRefused(address.port, address.host);
  }

  reopen(): void {
    const { address } = this.upstream;
    if (address.kind === "unix") throw new Error("Only TCP upstreams open again");
    this.#listener = Deno.listen({ hostname: address.host, port: address.port });
    this.#accepting = this.#accept(this.#listener);
  }

  async #accept(listener: Deno.Listener): Promise<void> {
    for (;;) {
      const conn = await listener.accept().catch(() => undefined); // closed by `close`
      if (conn === undefined) return;
      this.conns.push(conn);
      const serving = this.serve(conn).catch(() => {}).finally(() => {
        closeQuietly(conn);
        this.#serving.delete(serving);
      });
      this.#serving.add(serving);
    }
  }

  /** Waits until no connection is being served. */
  async idle(): Promise<boolean> {
    await until(`${this.name} serves no connection`, () => this.#serving.size === 0);
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    this.conns.forEach(closeQuietly);
    await Promise.all(this.#serving);
  }
}

export function closeQuietly(conn: { close(): void }): void {
  try {
    conn.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error; // already closed
  }
}

/** Sends `text` at once, then reads until the client ends. */
export function sends(text: string): ServeConn {
  return async (conn) => {
    await writeAll(conn, encode(text));
    await conn.closeWrite();
    await readToEnd(conn);
  };
}

/** Sends back what it receives until the client ends, then ends too. */
export const echoes: ServeConn = async (conn) => {
  const buffer = new Uint8Array(65_536);
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    await writeAll(conn, buffer.subarray(0, count));
  }
  await conn.closeWrite();
};

/** Reads and sends nothing. */
export const readsOnly: ServeConn = async (conn) => {
  await readToEnd(conn);
};

/** Closes at once without sending anything. */
export const closesAtOnce: ServeConn = () => Promise.resolve();

export const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text);

export async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await conn.write(bytes.subarray(sent));
}

/** Reads until the peer ends its direction. */
export async function readToEnd(conn: Deno.Conn): Promise<string> {
  const decoder = new TextDecoder();
  const buffer = new Uint8Array(65_536);
  let text = "";
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    text += decoder.decode(buffer.subarray(0, count), { stream: true });
  }
  return text;
}

/** Reads exactly `length` bytes. */
export async function readText(conn: Deno.Conn, length: number): Promise<string> {
  const bytes = new Uint8Array(length);
  for (let received = 0; received < length;) {
    const count = await conn.read(bytes.subarray(received));
    if (count === null) throw new Error(`The peer ended after ${received} of ${length} bytes`);
    received += count;
  }
  return new TextDecoder().decode(bytes);
}

/** True once the peer has ended the connection, in order or by a reset. */
export async function ended(conn: Deno.Conn): Promise<boolean> {
  try {
    return await conn.read(new Uint8Array(1)) === null;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return true;
    throw error;
  }
}

/** An upstream that never answers a connect: its accept queue of two is full and nobody accepts. */
export class BlackHole implements Disposable {
  readonly upstream: Upstream;
  readonly #listener: Deno.Listener;
  readonly #fill: Deno.Conn[];

  private constructor(listener: Deno.Listener, fill: Deno.Conn[], port: number) {
    this.#listener = listener;
    this.#fill = fill;
    this.upstream = { name: "hole", address: { kind: "tcp", host: "127.0.0.1", port }, rank: 0 };
  }

  static async open(): Promise<BlackHole> {
    const listener = Deno.listen({ hostname: "127.0.0.1", port: 0, tcpBacklog: 1 });
    const { port } = listener.addr as Deno.NetAddr;
    // Linux completes one connection more than the backlog says (listen(2)).
    const fill = [await Deno.connect({ port }), await Deno.connect({ port })];
    return new BlackHole(listener, fill, port);
  }

  [Symbol.dispose](): void {
    this.#fill.forEach(closeQuietly);
    this.#listener.close();
  }
}
