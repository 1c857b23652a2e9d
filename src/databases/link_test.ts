import { assertEquals, assertRejects } from "@std/assert";
import { NEVER_ABORTED } from "../base/deadline.ts";
import { ManualClock, realClock } from "../base/clock.ts";
import type { Fault } from "../base/fault.ts";
import { unusedPort } from "../base/testing/ports.ts";
import { rejectedWith } from "../base/testing/faults.ts";
import type { Conn } from "../net/conn.ts";
import { denoConn } from "../net/deno/conn.ts";
import { certificateFor } from "../net/testing/certificate.ts";
import { socketPair } from "../net/testing/socket_pair.ts";
import { Link } from "./link.ts";
import { LoginRefused } from "./server.ts";

const LIMITS = { clock: realClock, timeoutMs: Infinity, signal: NEVER_ABORTED };

/** A link, the other end of its connection, and what the link has received. */
async function linked() {
  const [conn, peer] = await socketPair();
  const link = new Link(denoConn(conn), "localhost", realClock);
  const ended = Promise.withResolvers<Fault>();
  link.onEnd = ended.resolve;
  return { link, peer, ended: ended.promise };
}

function text(link: Link, length: number): Promise<string> {
  let received = "";
  return new Promise((resolve) => {
    link.onBytes = (bytes) => {
      received += new TextDecoder().decode(bytes);
      if (received.length >= length) resolve(received);
    };
  });
}

Deno.test("a link sends in order, and receives without being asked", async () => {
  const { link, peer } = await linked();
  link.send(new TextEncoder().encode("one "));
  link.send(new TextEncoder().encode("two"));
  const buffer = new Uint8Array(7);
  for (let at = 0; at < 7;) at += (await peer.read(buffer.subarray(at)))!;
  assertEquals(new TextDecoder().decode(buffer), "one two");
  const received = text(link, 5);
  await peer.write(new TextEncoder().encode("three"));
  assertEquals(await received, "three");
  await link.close();
  assertEquals(await peer.read(buffer), null);
  peer.close();
});

Deno.test("the end of a connection is told at once, and an end of our own is not", async () => {
  const { link, peer, ended } = await linked();
  peer.close();
  assertEquals((await ended).fault, "responseCut");
  assertEquals(link.isOver, true);

  const ours = await linked();
  ours.link.onEnd = () => assertEquals("called", "not called");
  await ours.link.close();
  ours.peer.close();
});

Deno.test("what a server said before it closed is heard, although it takes nothing any more", async () => {
  for (const isHeard of [true, false]) {
    const clock = new ManualClock();
    const reads: ((count: number | null) => void)[] = [];
    let room = new Uint8Array();
    const conn: Pick<Conn, "read" | "write" | "close"> = {
      read: (buffer) => {
        room = buffer as Uint8Array<ArrayBuffer>;
        return new Promise((resolve) => reads.push(resolve));
      },
      write: () => Promise.reject(new Deno.errors.BrokenPipe("Broken pipe")),
      close: () => reads.at(-1)!(null),
    };
    const link = new Link(conn as Conn, "localhost", clock);
    const faults: string[] = [];
    link.onEnd = ({ fault }) => faults.push(fault);
    const words = text(link, 6);
    for (let times = 0; times < 3; times++) link.send(new Uint8Array([1]));
    await clock.advance(0); // the writes fail
    await clock.advance(900);
    assertEquals([link.isOver, faults, clock.pending], [false, [], 1]);
    if (isHeard) {
      room.set(new TextEncoder().encode("DENIED"));
      reads.at(-1)!(6);
      assertEquals(await words, "DENIED");
      await clock.advance(0);
      reads.at(-1)!(null);
    }
    // Nothing else ends a connection on which reading does not end.
    await clock.advance(isHeard ? 0 : 100);
    assertEquals(faults, [isHeard ? "responseCut" : "upstreamReset"]);
    assertEquals([link.isOver, clock.pending], [true, 0]);
  }
});

Deno.test("a link to a closed port is a fault of connecting", async () => {
  const address = { kind: "tcp", host: "127.0.0.1", port: unusedPort() } as const;
  assertEquals(await rejectedWith(Link.open(address, LIMITS)), "connectRefused");
  const aborted = AbortSignal.abort();
  assertEquals(
    await rejectedWith(Link.open(address, { ...LIMITS, signal: aborted })),
    "connectFailed",
  );
});

/** Accepts one connection with TLS and repeats what it gets. */
function echo(cert: { cert: string; key: string }): { port: number; done: Promise<void> } {
  const listener = Deno.listenTls({ hostname: "127.0.0.1", port: 0, ...cert });
  const work = async () => {
    const conn = await listener.accept();
    listener.close();
    const buffer = new Uint8Array(100);
    try {
      for (let count = await conn.read(buffer); count !== null; count = await conn.read(buffer)) {
        await conn.write(buffer.subarray(0, count));
      }
    } catch {
      // The client did not like the certificate.
    }
    conn.close();
  };
  return { port: listener.addr.port, done: work() };
}

Deno.test("TLS is started later, and ends in order", async () => {
  const cert = await certificateFor("localhost");
  const { port, done } = echo(cert);
  const link = await Link.open({ kind: "tcp", host: "127.0.0.1", port }, LIMITS);
  await link.secure({ verify: "full", ca: cert.cert });
  assertEquals(link.isSecure, true);
  const received = text(link, 5);
  link.send(new TextEncoder().encode("hello"));
  assertEquals(await received, "hello");
  await link.close();
  await done;
});

Deno.test("a certificate that is not trusted is a refusal, as the server takes part", async () => {
  const { port, done } = echo(await certificateFor("localhost"));
  const link = await Link.open({ kind: "tcp", host: "127.0.0.1", port }, LIMITS);
  await assertRejects(() => link.secure({ verify: "full" }), LoginRefused, "TLS handshake failed");
  assertEquals(link.isOver, true);
  await done;
});

Deno.test("a server that ends the connection instead of TLS is a fault", async () => {
  const { link, peer } = await linked();
  const securing = link.secure({ verify: "none" });
  await peer.read(new Uint8Array(1_000));
  peer.close();
  assertEquals(await rejectedWith(securing), "responseCut");
  await assertRejects(() => link.secure({ verify: "none" }));
});
