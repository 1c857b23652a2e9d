/** The protocol of one connection without I/O: a test feeds it and sees what it answers. */
import { ManualClock } from "../../base/clock.ts";
import type { Fault } from "../../base/fault.ts";
import type { Http2Rule } from "../../base/http2_rules.ts";
import { ReadBuffer } from "../../http1/read_buffer.ts";
import { Deadlines } from "../../net/deadlines.ts";
import { Http2Connection, type Http2Owner } from "../connection.ts";
import { ConnectionError } from "../connection_error.ts";
import type { Stream } from "../stream.ts";
import { framesOf, joined, opening, summary } from "./frames.ts";

/** One connection whose owner does nothing but take notes. */
export class ProtocolFixture implements Http2Owner {
  readonly clock = new ManualClock();
  readonly protocol: Http2Connection;
  readonly requests: Stream[] = [];
  readonly refusals: string[] = [];
  readonly broken: string[] = [];
  ended = 0;
  readonly #input = new ReadBuffer();

  /** After the preface and the settings of both sides, unless `isNew`. */
  constructor({ isNew = false, streamsMax = 3 } = {}) {
    this.protocol = new Http2Connection({
      deadlines: new Deadlines(this.clock),
      headLimits: { headBytesMax: 4_096, fieldsMax: 20 },
      bodyRules: {
        side: "request",
        waitMs: 5_000,
        rateMin: 0,
        lateFault: "requestTimeout",
        cutFault: "clientReset",
      },
      streamsMax,
      writeMs: 10_000,
    }, this);
    if (!isNew) this.feed(opening());
  }

  request(stream: Stream): void {
    this.requests.push(stream);
  }

  refused(stream: Stream, fault: Fault): void {
    this.requests.push(stream);
    this.refusals.push(fault.fault);
  }

  streamEnded(): void {
    this.ended++;
  }

  outputReady(): void {}

  streamBroken(rule: Http2Rule, words: string): void {
    this.broken.push(`${rule}: ${words}`);
  }

  malformed(fault: Fault): void {
    this.refusals.push(fault.fault);
  }

  /**
   * Gives it these bytes; what it answers, a line for each frame. If the connection must end, the last line says
   * why.
   */
  feed(...parts: Uint8Array[]): string[] {
    const bytes = joined(parts);
    let error: string | undefined;
    for (let at = 0; at < bytes.length && error === undefined;) {
      const room = this.#input.room(true);
      const count = Math.min(room.length, bytes.length - at);
      room.set(bytes.subarray(at, at + count));
      this.#input.added(count);
      at += count;
      error = this.#take();
    }
    return [...this.sent(), ...(error === undefined ? [] : [error])];
  }

  #take(): string | undefined {
    try {
      this.protocol.take(this.#input);
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      return `ends with ${error.code}: ${error.words}`;
    }
  }

  /** What it has printed since the last call, a line for each frame. */
  sent(): string[] {
    const { out } = this.protocol;
    const [frames] = framesOf(out.bytes.slice(0, out.length));
    out.clear();
    this.protocol.sent();
    return frames.map(summary);
  }
}
