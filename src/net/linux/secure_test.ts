/** TLS on real sockets of the kernel: our own ends against each other, and against Deno's TLS and raw bytes. */
import { assertEquals, assertRejects } from "@std/assert";
import { ManualClock, realClock } from "../../base/clock.ts";
import { TlsClientContext } from "../../linux/tls_client.ts";
import { Fault } from "../../base/fault.ts";
import { Authority } from "../../linux/testing/authority.ts";
import { opensslTest } from "../../linux/testing/tls_pair.ts";
import type { CertifiedKey } from "../../linux/tls_context.ts";
import { TICKET_KEYS_BYTES } from "../../linux/ticket_keys.ts";
import type { Conn } from "../conn.ts";
import type { DialTls, ListeningPort, Sockets, TlsHandshake, TlsTerminator } from "../transport.ts";
import { linuxSockets } from "./transport.ts";

/** Longer than a handshake takes on a busy machine, in milliseconds. */
const CONNECT_MS = 60_000;

/** A port that terminates TLS, and runs `serve` on each connection. */
class Port implements AsyncDisposable {
  readonly sockets: Sockets = linuxSockets(realClock);
  readonly terminator: TlsTerminator;
  /** How the handshake of each client has ended, in order: its protocol, or why it failed. */
  readonly outcomes: Promise<string>[] = [];
  readonly handshakes: TlsHandshake[] = [];
  readonly #ends: Promise<void>[] = [];
  readonly #conns: Conn[] = [];
  #port!: ListeningPort;

  static async open(
    certificates: readonly CertifiedKey[],
    serve: (conn: Conn) => Promise<void>,
  ): Promise<Port> {
    const port = new Port(certificates);
    const listening = await port.sockets.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, {
      hasRoom: true,
      room: () => Promise.resolve(),
      serve: (conn) => port.#serve(conn, serve),
    }, { clock: realClock });
    if (typeof listening === "string") throw new Error(listening);
    port.#port = listening;
    return port;
  }

  private constructor(certificates: readonly CertifiedKey[]) {
    const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES);
    this.terminator = this.sockets.terminator!({
      certificates,
      protocols: ["http/1.1"],
      ticketKeys,
    });
  }

  get port(): number {
    const { address } = this.#port;
    return address.kind === "tcp" ? address.port : 0;
  }

  async #serve(conn: Conn, serve: (conn: Conn) => Promise<void>): Promise<void> {
    this.#conns.push(conn);
    const handshake = this.terminator.begin(conn);
    this.handshakes.push(handshake);
    const outcome = handshake.protocol.then(
      (name) => `agreed on ${name}`,
      (error) => error.message,
    );
    this.outcomes.push(outcome);
    if ((await outcome).startsWith("agreed")) this.#ends.push(serve(conn));
  }

  dial(tls: DialTls, hostname = "127.0.0.1", signal?: AbortSignal): Promise<Conn> {
    const options = { hostname, port: this.port, clock: realClock, connectMs: CONNECT_MS, tls };
    return this.sockets.dialer(options)(signal);
  }

  raw(): Promise<Deno.TcpConn> {
    return Deno.connect({ hostname: "127.0.0.1", port: this.port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#port.close();
    await Promise.all(this.#ends);
    for (const conn of this.#conns) conn.close();
    this.terminator.close();
    await this.sockets.close();
  }
}

async function echo(conn: Conn): Promise<void> {
  const buffer = new Uint8Array(50_000);
  try {
    for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
      for (let at = 0; at < count;) at += await conn.write(buffer.subarray(at, count));
    }
    await conn.closeWrite();
  } catch {
    conn.close();
  }
}

/** The number of bytes until the end, each of which must be the one at its place. */
async function readAll(conn: Pick<Conn, "read">, byteAt: (place: number) => number) {
  const buffer = new Uint8Array(30_000);
  let sum = 0;
  for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
    for (let i = 0; i < count; i++) {
      if (buffer[i] !== byteAt(sum + i)) throw new Error(`byte ${sum + i} differs`);
    }
    sum += count;
  }
  return sum;
}

const byteAt = (place: number) => (place * 7) % 251;

opensslTest(
  "more bytes than any buffer holds go both ways at once, up to an end in order",
  async () => {
    await using authority = await Authority.make();
    const certificate = await authority.certify({ names: ["127.0.0.1"] });
    await using port = await Port.open([certificate], echo);
    const conn = await port.dial({ caCerts: [authority.cert] });
    const all = Uint8Array.from({ length: 5_000_000 }, (_, place) => byteAt(place));
    const writing = (async () => {
      for (let at = 0; at < all.length;) at += await conn.write(all.subarray(at));
      await conn.closeWrite();
    })();
    assertEquals(await readAll(conn, byteAt), all.length);
    await writing;
    conn.close();
    assertEquals(await port.outcomes[0], "agreed on http/1.1");
  },
);

opensslTest("a client of another TLS library sees our end in order, and we see its", async () => {
  await using authority = await Authority.make();
  const certificate = await authority.certify({ names: ["localhost"] });
  await using port = await Port.open([certificate], echo);
  using conn = await Deno.connectTls({
    hostname: "localhost",
    port: port.port,
    caCerts: [authority.cert],
  });
  const bytes = Uint8Array.from({ length: 100_000 }, (_, place) => byteAt(place));
  const reading = readAll(conn, byteAt);
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
  await conn.closeWrite();
  assertEquals(await reading, bytes.length);
});

opensslTest(
  "a peer that ends without close_notify has cut its bytes short, and the reader is told",
  async () => {
    await using authority = await Authority.make();
    const certificate = await authority.certify({ names: ["127.0.0.1"] });
    const end = Promise.withResolvers<string>();
    const arrived = Promise.withResolvers<void>();
    await using port = await Port.open([certificate], async (conn) => {
      const buffer = new Uint8Array(100);
      try {
        while (await conn.read(buffer) !== null) arrived.resolve();
        end.resolve("an end");
      } catch (error) {
        end.resolve((error as Error).message);
      }
    });
    // A relay between both that ends the connection where TLS does not.
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    const relayed = (async () => {
      using near = await listener.accept();
      using far = await port.raw();
      const forth = near.readable.pipeTo(far.writable, { preventClose: true }).catch(() => {});
      const back = far.readable.pipeTo(near.writable, { preventClose: true }).catch(() => {});
      await arrived.promise;
      await far.closeWrite();
      await end.promise;
      await Promise.all([forth, back]);
    })();
    const options = { hostname: "127.0.0.1", port: listener.addr.port, connectMs: CONNECT_MS };
    const tls = { caCerts: [authority.cert] };
    const conn = await port.sockets.dialer({ ...options, clock: realClock, tls })();
    await conn.write(new Uint8Array(10));
    const told = await end.promise;
    conn.close();
    assertEquals(told, "the connection ended without close_notify: it may have been cut");
    await relayed;
  },
);

opensslTest(
  "what is no handshake, or only half of one, is told as such and holds nothing",
  async () => {
    await using authority = await Authority.make();
    const certificate = await authority.certify({ names: ["127.0.0.1"] });
    await using port = await Port.open([certificate], echo);
    const next = async (send: (conn: Deno.TcpConn) => Promise<unknown>) => {
      const at = port.outcomes.length;
      using conn = await port.raw();
      await send(conn);
      while (port.outcomes.length <= at) await new Promise((resolve) => setImmediate(resolve));
      return await port.outcomes[at];
    };
    const bytes = (text: string) => new TextEncoder().encode(text);
    assertEquals(
      await next((conn) => conn.write(bytes("GET / HTTP/1.1\r\n\r\n"))),
      "the peer does not speak TLS",
    );
    assertEquals(
      await next((conn) => conn.write(crypto.getRandomValues(new Uint8Array(500)).fill(1, 0, 1))),
      "the peer does not speak TLS",
    );
    // The first five bytes of a record that never comes.
    const half = new Uint8Array([22, 3, 1, 2, 0, 1, 0]);
    const cut = await next(async (conn) => {
      await conn.write(half);
      await conn.closeWrite();
    });
    assertEquals(cut, "the peer ended the connection");
    // A first message in two parts: the client has begun when all of it is there.
    using context = new TlsClientContext({ caCerts: [], trustsSystem: false });
    const client = context.inMemory({ hostname: "localhost", port: 1, isIp: false });
    client.handshake();
    const hello = new Uint8Array(4_096);
    const length = client.drain(hello);
    client.free();
    using silent = await port.raw();
    await silent.write(hello.subarray(0, 100));
    while (port.handshakes.length < 4) await new Promise((resolve) => setImmediate(resolve));
    const handshake = port.handshakes[3]!;
    assertEquals(handshake.hasBegun, false);
    await silent.write(hello.subarray(100, length));
    while (!handshake.hasBegun) await new Promise((resolve) => setImmediate(resolve));
    handshake.end();
    assertEquals(await port.outcomes[3], "closed by us");
    // Our answer may have come before that.
    let end: number | null | string = 0;
    while (typeof end === "number") end = await silent.read(hello).catch(() => "reset");
    assertEquals(end, "reset");
  },
);

opensslTest(
  "an upstream that is silent, not to be trusted or cancelled ends in a fault, and nothing was sent",
  async () => {
    await using authority = await Authority.make();
    const certificate = await authority.certify({ names: ["up.test"] });
    await using port = await Port.open([certificate], echo);
    const caCerts = [authority.cert];
    const fault = async (tls: DialTls, signal?: AbortSignal) => {
      const error = await assertRejects(() => port.dial(tls, "127.0.0.1", signal), Fault);
      return error.message;
    };
    assertEquals(await fault({ caCerts }), "TLS handshake failed: IP address mismatch");
    assertEquals(
      await fault({ caCerts, serverName: "other.test" }),
      "TLS handshake failed: hostname mismatch",
    );
    assertEquals(
      await fault({ systemCerts: [], serverName: "up.test" }),
      "TLS handshake failed: unable to get local issuer certificate",
    );
    const conn = await port.dial({ caCerts, serverName: "up.test" });
    conn.close();
    const { sockets } = port;
    const abort = new AbortController();
    const clock = new ManualClock();
    /** The fault of a dial to a server that says nothing, which the rest happens to in the handshake. */
    const inHandshake = async (act: () => unknown, signal?: AbortSignal) => {
      using silent = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = silent.addr;
      const options = { hostname: "127.0.0.1", port, clock, connectMs: 50, tls: { caCerts } };
      const failing = assertRejects(() => sockets.dialer(options)(signal), Fault);
      using accepted = await silent.accept();
      const hello = new Uint8Array(1);
      assertEquals([await accepted.read(hello), hello[0]], [1, 22]);
      await act();
      return (await failing).message;
    };
    const late = await inHandshake(() => clock.advance(50));
    assertEquals(late, "no answer to connect: in the TLS handshake");
    const cancelled = await inHandshake(() => abort.abort(), abort.signal);
    assertEquals([cancelled, clock.pending], ["cannot connect: cancelled", 0]);
  },
);

opensslTest(
  "new certificates are used from the next handshake on, and bad ones not at all",
  async () => {
    await using authority = await Authority.make();
    const [one, two] = [
      await authority.certify({ names: ["one.test"] }),
      await authority.certify({ names: ["two.test"] }),
    ];
    await using port = await Port.open([one], echo);
    const caCerts = [authority.cert];
    const isServed = async (serverName: string) => {
      const conn = await port.dial({ caCerts, serverName }).catch(() => undefined);
      conn?.close();
      return conn !== undefined;
    };
    const before = await port.dial({ caCerts, serverName: "one.test" });
    const settings = { protocols: ["http/1.1"], ticketKeys: new Uint8Array(TICKET_KEYS_BYTES) };
    port.terminator.use({ ...settings, certificates: [two] });
    assertEquals([await isServed("one.test"), await isServed("two.test")], [false, true]);
    try {
      port.terminator.use({ ...settings, certificates: [{ cert: two.cert, key: one.key }] });
      throw new Error("it was used");
    } catch (error) {
      assertEquals((error as Error).message, "it does not belong to the certificate");
    }
    assertEquals(await isServed("two.test"), true);
    // Who was connected before still is.
    await before.write(new Uint8Array([5]));
    const answer = new Uint8Array(1);
    assertEquals([await before.read(answer), answer[0]], [1, 5]);
    before.close();
  },
);

opensslTest("other keys for tickets end what could be resumed, and nothing else", async () => {
  await using authority = await Authority.make();
  const certificates = [await authority.certify({ names: ["one.test"] })];
  await using port = await Port.open(certificates, echo);
  const tls = { caCerts: [authority.cert], serverName: "one.test" };
  /** Whether the next connection resumes a session. It is used, since tickets come after the handshake. */
  const isResumed = async () => {
    const conn = await port.dial(tls);
    await conn.write(new Uint8Array([7]));
    assertEquals(await conn.read(new Uint8Array(1)), 1);
    conn.close();
    return port.handshakes.at(-1)!.isResumed;
  };
  assertEquals([await isResumed(), await isResumed()], [false, true]);
  const ticketKeys = new Uint8Array(TICKET_KEYS_BYTES).fill(1);
  port.terminator.use({ certificates, protocols: ["http/1.1"], ticketKeys });
  assertEquals([await isResumed(), await isResumed()], [false, true]);
});
