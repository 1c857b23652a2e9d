/** Sessions that pass from one relay to another one, on the real kernel, as from process to process. */
import { Buffer } from "node:buffer";
import { assert, assertEquals } from "@std/assert";
import { Dice } from "../../base/testing/dice.ts";
import { closeDescriptors, DescriptorSocket } from "../../linux/pass_descriptors.ts";
import type { Parcel } from "../../net/handover.ts";
import { RelayFixture } from "../testing/relay_fixture.ts";
import { spliceRelay } from "./testing/alone.ts";

const ignore = Deno.build.os !== "linux";
const SESSIONS = 12;
/** More than the buffers of the kernel hold between two ends of which one does not read. */
const BYTES = 24 * 1024 * 1024;
/** Longer than all bytes need on a busy machine, in milliseconds. */
const DRAIN_MS = 600_000;
const never = new AbortController().signal;

/** Random bytes, of a length that no buffer divides: a stream is a walk through them, from a place of its own. */
const BLOCK = crypto.getRandomValues(new Uint8Array(65_521));

/** A part of the stream `seed`. */
function partOf(seed: number, at: number, max: number): Uint8Array<ArrayBuffer> {
  const from = (at + seed * 1_009) % BLOCK.length;
  return BLOCK.subarray(from, Math.min(from + Math.min(max, BYTES - at), BLOCK.length));
}

/** Sends the stream in parts of random lengths, and then the end. */
async function send(conn: Deno.Conn, seed: number, dice: Dice): Promise<void> {
  for (let at = 0; at < BYTES;) {
    at += await conn.write(partOf(seed, at, dice.pick([100, 5_000, 200_000])));
  }
  await conn.closeWrite();
}

/** Reads the stream to its end, once `begins` has resolved. Resolves with what is wrong with it. */
async function read(
  conn: Deno.Conn,
  seed: number,
  begins: Promise<void>,
  dice: Dice,
): Promise<string[]> {
  await begins;
  const buffer = new Uint8Array(300_000);
  let at = 0;
  for (;;) {
    const count = await conn.read(buffer.subarray(0, dice.pick([999, 70_000, 300_000])));
    if (count === null) return at === BYTES ? [] : [`${seed}: ${at} of ${BYTES} bytes`];
    for (let place = 0; place < count;) {
      const part = partOf(seed, at, count - place);
      const got = buffer.subarray(place, place + part.length);
      const isSame = part.length > 0 && Buffer.compare(part, got) === 0;
      if (!isSame) return [`${seed}: bytes differ after ${at}`];
      place += part.length;
      at += part.length;
    }
  }
}

/** Passes parcels as two processes do, which gives the receiver descriptors of its own. */
class TwoProcesses implements Disposable {
  readonly #ends: readonly [DescriptorSocket, DescriptorSocket];
  passed = 0;
  refused = 0;
  pipes = 0;

  constructor() {
    const ends = DescriptorSocket.pair();
    assert(typeof ends !== "number");
    this.#ends = ends;
  }

  /** `takes` decides whether the receiver takes the next one. */
  pass(parcel: Parcel, to: RelayFixture, takes: boolean): Promise<boolean> {
    const [near, far] = this.#ends;
    assertEquals(near.trySend(parcel.content, parcel.descriptors), 0);
    const message = far.tryReceive();
    assert(typeof message !== "number");
    const { kind } = parcel;
    const { bytes: content, descriptors } = message;
    const goOn = takes ? to.relay.receive!({ kind, content, descriptors }) : undefined;
    const isTaken = goOn !== undefined;
    if (isTaken) goOn();
    else closeDescriptors(descriptors);
    this[isTaken ? "passed" : "refused"]++;
    if (isTaken && descriptors.length > 2) this.pipes++;
    return Promise.resolve(isTaken);
  }

  /** Fills the queue: the receiver takes nothing. */
  fill(): void {
    const [near] = this.#ends;
    while (near.trySend(new Uint8Array(8_192)) === 0);
  }

  /** Passes a parcel to a receiver that takes nothing; true if that works all the same. */
  async passInto({ content, descriptors }: Parcel): Promise<boolean> {
    this.refused++;
    return await this.#ends[0].send(content, descriptors, 20) === 0;
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends) end.close();
  }
}

/** One handover under load; `takes` decides about each session, and `full` is a receiver that takes nothing. */
async function handOver(seed: number, takes: ((count: number) => boolean) | "full") {
  const dice = new Dice(seed);
  using processes = new TwoProcesses();
  using upstream = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const address = { kind: "tcp", host: "127.0.0.1", port: upstream.addr.port } as const;
  const route = { name: "a", address, rank: 0 };
  await using before = await RelayFixture.start(spliceRelay, { workers: 2 });
  await using after = await RelayFixture.start(spliceRelay, { workers: 2 });
  await before.relay.open(route, 1);
  await after.relay.open(route, 2);
  const handedOver = Promise.withResolvers<void>();
  const atOnce = Promise.resolve();
  const wrong: string[] = [];
  const sessions: Promise<void>[] = [];
  for (let number = 0; number < SESSIONS; number++) {
    const client = await before.connect();
    // It says who it is, so that each stream can be told from all others.
    await client.write(new Uint8Array([number]));
    const server = await upstream.accept();
    const [name] = await Promise.all([server.read(new Uint8Array(1))]);
    assertEquals(name, 1);
    // Of every four sessions, one has readers that wait, so that all buffers and pipes are full.
    const begins = number % 4 === 0 ? handedOver.promise : atOnce;
    const [up, down] = [number * 2, number * 2 + 1];
    sessions.push((async () => {
      const [wrongUp, wrongDown] = await Promise.all([
        read(server, up, begins, new Dice(up)),
        read(client, down, begins, new Dice(down)),
        send(client, up, new Dice(up + 100)),
        send(server, down, new Dice(down + 100)),
      ]);
      wrong.push(...wrongUp, ...wrongDown);
      client.close();
      server.close();
    })());
  }
  await before.counters(
    "bytes pass",
    ({ clientSentBytes }) => clientSentBytes > (1 + dice.under(20)) * 1024 * 1024,
  );
  let count = 0;
  if (takes === "full") processes.fill();
  const passOn = (parcel: Parcel) =>
    takes === "full" ? processes.passInto(parcel) : processes.pass(parcel, after, takes(count++));
  const ended = before.relay.leave!(passOn, DRAIN_MS, never);
  await before.counters("all are offered", () => processes.passed + processes.refused > 0);
  handedOver.resolve();
  await Promise.all(sessions);
  assertEquals(wrong, []);
  assertEquals(await ended, 0);
  await after.counters("all have ended", ({ active }) => active === 0);
  const { passed, refused, pipes } = processes;
  return { passed, refused, pipes };
}

Deno.test({
  name: "sessions under load go on in another relay: no byte is lost, doubled or out of order",
  ignore,
  async fn() {
    const { passed, refused, pipes } = await handOver(1, () => true);
    assert(passed >= SESSIONS / 4 && pipes > 0, `${passed} passed, ${pipes} with pipes`);
    assertEquals(refused, 0);
  },
});

Deno.test({
  name: "sessions that the other relay does not take go on where they are, without a byte lost",
  ignore,
  async fn() {
    const { passed, refused } = await handOver(3, (count) => count % 2 === 0);
    assert(passed > 0 && refused > 0, `${passed} passed, ${refused} refused`);
  },
});

Deno.test({
  name: "sessions that do not fit into the queue to the other process go on where they are",
  ignore,
  async fn() {
    const { passed, refused } = await handOver(4, "full");
    assert(passed === 0 && refused > 0, `${passed} passed, ${refused} refused`);
  },
});
