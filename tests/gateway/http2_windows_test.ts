/**
 * Flow control by seeds: clients that change their windows all the time, also in the middle of bodies and below
 * zero (RFC 9113 section 6.9.2). No byte is sent without a window for it, and every body arrives whole.
 */
import { assert, assertEquals } from "@std/assert";
import { Dice, seeds } from "../../src/base/testing/dice.ts";
import { FLAG, FRAME, WINDOW_START } from "../../src/http2/frames.ts";
import { bytes, type Frame, frame, framesOf, joined } from "../../src/http2/testing/frames.ts";
import { block, opening, requestFields, WHOLE } from "../../src/http2/testing/frames.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { onBothSockets } from "./both_sockets.ts";
import { close, nodeUpstream } from "./gateway_fixture.ts";

const ROUNDS = 12;
const STREAMS = 8;
/** Windows that a client sets for all streams, in bytes. */
const SIZES = [0, 0, 1, 100, 5_000, 16_384, 65_535, 200_000];
/** How much it may open a window at once. */
const STEPS = [1, 300, 1_024, 20_000, 100_000];

/** The byte of a body of `size` bytes at this place. */
const byteAt = (size: number, at: number) => (size + at * 7) & 0xff;
const uint32 = (value: number) =>
  bytes(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff);

/** What a client knows of one stream. */
interface Download {
  readonly size: number;
  window: number;
  received: number;
  isOver: boolean;
}

/** A client that keeps an exact account of the windows that it has given. */
class WindowClient {
  readonly downloads = new Map<number, Download>();
  /** Resolves when all bodies have come. */
  readonly over = Promise.withResolvers<void>();
  readonly #conn: Deno.Conn;
  readonly #dice: Dice;
  /** Sizes that the server has not confirmed yet: its ACK says from where on they hold. */
  readonly #sent: number[] = [];
  #size = WINDOW_START;
  #window = WINDOW_START;
  #answered = Promise.withResolvers<void>();
  #received: Uint8Array<ArrayBuffer> = new Uint8Array(0);

  constructor(conn: Deno.Conn, dice: Dice) {
    this.#conn = conn;
    this.#dice = dice;
  }

  async send(...parts: Uint8Array[]): Promise<void> {
    const all = joined(parts);
    for (let at = 0; at < all.length;) at += await this.#conn.write(all.subarray(at));
  }

  async begin(sizes: readonly number[]): Promise<void> {
    this.#sent.push(WINDOW_START);
    await this.send(opening());
    for (const [at, size] of sizes.entries()) {
      const id = 2 * at + 1;
      this.downloads.set(id, { size, window: this.#size, received: 0, isOver: false });
      await this.send(frame(FRAME.headers, WHOLE, id, block(requestFields("GET", `/${size}`))));
      if (this.#dice.once(3)) await this.resize();
    }
  }

  /** Another window for all streams. */
  async resize(size = this.#dice.pick(SIZES)): Promise<void> {
    this.#sent.push(size);
    await this.send(frame(FRAME.settings, 0, 0, joined([bytes(0, 4), uint32(size)])));
  }

  async widen(id: number, step: number): Promise<void> {
    if (id === 0) this.#window += step;
    else this.downloads.get(id)!.window += step;
    await this.send(frame(FRAME.windowUpdate, 0, id, uint32(step)));
  }

  /** Waits for an answer, so that the server has done with all that was sent before. */
  async ping(): Promise<void> {
    this.#answered = Promise.withResolvers<void>();
    await this.send(frame(FRAME.ping, 0, 0, "12345678"));
    await this.#answered.promise;
  }

  /** Reads until the test has closed the connection, and checks every frame that comes. */
  async readOn(): Promise<void> {
    const buffer = new Uint8Array(65_536);
    for (;;) {
      const count = await this.#conn.read(buffer).catch(() => null);
      if (count === null) return assert(this.#isOver, "the connection has ended");
      const all = joined([this.#received, buffer.subarray(0, count)]);
      const [frames, taken] = framesOf(all);
      this.#received = all.slice(taken);
      for (const one of frames) this.#take(one);
    }
  }

  #take({ type, flags, stream, payload }: Frame): void {
    assert(type !== "goAway" && type !== "resetStream", `${type} of ${stream}`);
    if (type === "settings" && (flags & FLAG.ack) !== 0) return this.#confirmed();
    if (type === "ping") return this.#answered.resolve();
    const one = this.downloads.get(stream);
    if (type !== "data") return;
    assert(one !== undefined && !one.isOver, `DATA of ${stream}`);
    const count = payload.length;
    if (count > 0) assert(count <= one.window && count <= this.#window, `${stream}: no window`);
    one.window -= count;
    this.#window -= count;
    for (let at = 0; at < count; at += 97) {
      assertEquals(payload[at], byteAt(one.size, one.received + at), `${stream} at ${at}`);
    }
    one.received += count;
    one.isOver = (flags & FLAG.endStream) !== 0;
    if (this.#isOver) this.over.resolve();
  }

  #confirmed(): void {
    const size = this.#sent.shift()!;
    for (const one of this.downloads.values()) one.window += size - this.#size;
    this.#size = size;
  }

  /** Some move in the game, which may leave the server without any window. */
  async move(): Promise<void> {
    const dice = this.#dice;
    if (dice.once(4)) await this.resize();
    else await this.widen(dice.once(3) ? 0 : 2 * dice.under(STREAMS) + 1, dice.pick(STEPS));
  }

  get #isOver(): boolean {
    return [...this.downloads.values()].every(({ isOver }) => isOver);
  }
}

onBothSockets(
  "windows that change in the middle of bodies are kept to the byte, and all bodies arrive",
  async ({ start }) => {
    await using up = await nodeUpstream((request, response) => {
      const size = Number(request.url!.slice(1));
      response.end(Uint8Array.from({ length: size }, (_, at) => byteAt(size, at)));
    });
    await using fixture = await start([up.port], { protocol: "HTTP/2" });
    await fixture.open(0);
    for (const seed of seeds(ROUNDS)) {
      const dice = new Dice(seed);
      const conn = await fixture.connect();
      conn.setNoDelay();
      const client = new WindowClient(conn, dice);
      const play = async () => {
        const sizes = Array.from({ length: STREAMS }, () => 1 + dice.under(300_000));
        await client.begin(sizes);
        const reading = client.readOn();
        const playing = (async () => {
          for (let moves = 0; moves < 60; moves++) {
            await client.move();
            if (dice.once(5)) await client.ping();
          }
          // In the end there is a window for everything.
          await client.resize(1 << 29);
          await client.widen(0, 1 << 29);
          await client.over.promise;
        })();
        await Promise.race([playing, reading]);
        const got = [...client.downloads.values()].map(({ received }) => received);
        assertEquals(got, sizes);
        close(conn);
      };
      await withTestDeadline(`the seed ${seed}`, play());
    }
  },
);
