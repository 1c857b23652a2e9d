/**
 * One connection of a client as bytes in and frames out, without any I/O (RFC 9113). Its owner gives it what was
 * read, sends what it has printed, and serves its requests.
 */
import { Fault } from "../base/fault.ts";
import type { Http2Rule } from "../base/http2_rules.ts";
import type { BodyRules } from "../http1/body.ts";
import type { Fields } from "../http1/fields.ts";
import type { HeadLimits } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import type { ReadBuffer } from "../http1/read_buffer.ts";
import type { Deadlines } from "../net/deadlines.ts";
import { ConnectionError } from "./connection_error.ts";
import { FLOOD_WORDS, FloodGuard, type FloodKind } from "./flood_guard.ts";
import {
  ERROR,
  FrameWriter,
  PAYLOAD_BYTES_MAX,
  SETTING,
  WINDOW_MAX,
  WINDOW_START,
} from "./frames.ts";
import { NO_TABLE } from "./hpack_encoder.ts";
import { IncomingFrames } from "./incoming_frames.ts";
import { type BlockOptions, putHead, putTrailers } from "./response_block.ts";
import type { Stream } from "./stream.ts";

/** What all connections of one server have in common. */
export interface ConnectionSettings {
  readonly deadlines: Deadlines;
  readonly headLimits: HeadLimits;
  readonly bodyRules: BodyRules;
  /** Requests at one time. */
  readonly streamsMax: number;
  /** Without a byte of a response taken by the client, in milliseconds. */
  readonly writeMs: number;
}

/** Serves what comes on a connection. */
export interface Http2Owner {
  /** A request has come. */
  request(stream: Stream): void;
  /** A request has come that must be answered with this fault. */
  refused(stream: Stream, fault: Fault): void;
  /** A stream has ended. */
  streamEnded(): void;
  /** There is something in `out`, to be sent soon. */
  outputReady(): void;
  /** The client has broken a rule, and only one stream of it ends; `words`: for a person. */
  streamBroken(rule: Http2Rule, words: string): void;
  /** The head of a request was malformed: its stream ends, and nobody serves it. */
  malformed(fault: Fault): void;
}

/** The window of the connection, in bytes: what all its unused bodies together may take. */
const RECEIVE_WINDOW = 1024 * 1024;
/** While this many bytes or more wait to be sent, no response is continued. */
const OUT_BYTES_MAX = 64 * 1024;
/** While this many bytes or more wait to be sent, the client does not read, so nothing more is read from it. */
const OUT_BYTES_STOP = 256 * 1024;
/** Streams that we have reset, and on which frames may still be under way. */
const RESET_KEPT = 128;

/** Made once, because an Error is expensive. */
const CUT = new Fault("clientReset");

/** The protocol of one connection. */
export class Http2Connection {
  readonly settings: ConnectionSettings;
  /** Frames that wait to be sent. */
  out = new FrameWriter();
  /** Bytes of the buffer before it that are being sent. */
  #outgoing = 0;
  sendWindow = WINDOW_START;
  /** The highest number of a stream that was begun, and may have been served. */
  lastStream = 0;
  /** The same of the client, which may have begun streams before it read of the last GOAWAY. */
  lastSeen = 0;
  /** Streams with higher numbers are not served: the client was told so by GOAWAY. */
  #acceptedMax = WINDOW_MAX;
  readonly #owner: Http2Owner;
  readonly #guard: FloodGuard;
  readonly #incoming: IncomingFrames;
  /** An array, since it is short, and a Map in which entries come and go is expensive (`base/slab.ts`). */
  readonly #streams: Stream[] = [];
  /** Streams whose requests have come and are not served yet. */
  readonly #new: Stream[] = [];
  readonly #waiting: Stream[] = [];
  readonly #recentlyReset: number[] = [];
  #resets = 0;
  readonly #offsets: number[] = [];
  #hasSentBlock = false;
  #streamWindow = WINDOW_START;
  /** Bytes that the client may still send. */
  receiveWindow = RECEIVE_WINDOW;
  #unannounced = 0;

  constructor(settings: ConnectionSettings, owner: Http2Owner) {
    this.settings = settings;
    this.#owner = owner;
    this.#guard = new FloodGuard(settings.deadlines.now);
    this.#incoming = new IncomingFrames(this);
  }

  /** The requests under way. */
  get streams(): readonly Stream[] {
    return this.#streams;
  }

  /** False until the client has shown that it speaks HTTP/2. */
  get hasPreface(): boolean {
    return this.#incoming.hasPreface;
  }

  /** True while a head is incomplete. */
  get isInHead(): boolean {
    return this.#incoming.isInHead;
  }

  /** True while so much waits to be sent that no response may go on. */
  get isBackedUp(): boolean {
    return this.out.length + this.#outgoing >= OUT_BYTES_MAX;
  }

  /** True while so much waits to be sent that nothing more may be read. */
  get isStopped(): boolean {
    return this.out.length + this.#outgoing >= OUT_BYTES_STOP;
  }

  /**
   * Takes the whole frames that `input` holds, and serves the requests among them. Throws a ConnectionError if the
   * client breaks a rule for which the connection must end.
   */
  take(input: ReadBuffer): void {
    try {
      this.#incoming.take(input);
    } catch (error) {
      this.#dropNew();
      throw error;
    }
    this.#serveNew();
  }

  /**
   * Only now, because a request that its client has taken back at once must not become work for an upstream
   * (CVE-2023-44487), and because a small body has come whole with its head.
   */
  #serveNew(): void {
    const { length } = this.#new;
    for (let i = 0; i < length; i++) {
      const stream = this.#new[i]!;
      if (stream.isOver) stream.fields.out.release();
      else if (stream.refusal !== undefined) this.#owner.refused(stream, stream.refusal);
      else this.#owner.request(stream);
    }
    this.#new.length = 0;
  }

  #dropNew(): void {
    for (const stream of this.#new.splice(0)) stream.fields.out.release();
  }

  /** Prints the frames that a server sends first. */
  begin(): void {
    const { streamsMax, headLimits } = this.settings;
    this.out.settings([
      [SETTING.maxConcurrentStreams, streamsMax],
      [SETTING.maxHeaderListSize, headLimits.headBytesMax],
      [SETTING.enableConnectProtocol, 1],
    ]);
    this.out.windowUpdate(0, RECEIVE_WINDOW - WINDOW_START);
    this.#owner.outputReady();
  }

  /** Counts a frame of a kind that is limited, as the part `cost` of one. */
  spend(kind: FloodKind, cost = 1): void {
    if (this.#guard.spend(kind, this.settings.deadlines.now, cost)) return;
    throw new ConnectionError(ERROR.enhanceYourCalm, FLOOD_WORDS[kind], kind);
  }

  /** The stream with this number, if it is not over. */
  find(id: number): Stream | undefined {
    const streams = this.#streams;
    for (let i = streams.length - 1; i >= 0; i--) {
      if (streams[i]!.id === id) return streams[i];
    }
    return undefined;
  }

  /** True if we have reset this stream a moment ago, so that its frames may still be under way. */
  wasReset(id: number): boolean {
    return this.#recentlyReset.includes(id);
  }

  /** The client has ended this stream, too: nothing of it is under way any more. */
  forgetReset(id: number): void {
    const at = this.#recentlyReset.indexOf(id);
    if (at >= 0) this.#recentlyReset[at] = 0;
  }

  /** True if requests with this number are served. */
  accepts(id: number): boolean {
    return id <= this.#acceptedMax;
  }

  /** The window of streams that begin now, in bytes. */
  get streamWindow(): number {
    return this.#streamWindow;
  }

  /** Serves a stream that was begun, as soon as all frames were taken that have come. */
  serve(stream: Stream): void {
    this.#streams.push(stream);
    this.#new.push(stream);
  }

  /** Ends a stream for a mistake of the client; one that was never begun has no more than a number. */
  breakStream(id: number, error: number, words: string, rule: Http2Rule = "other"): void {
    this.spend("resets");
    const fault = new Fault("http2Broken", words);
    const stream = this.find(id);
    if (stream === undefined) this.putReset(id, error);
    else stream.reset(error, fault);
    this.#owner.streamBroken(rule, words);
  }

  /** Ends a stream whose head is malformed, before it has begun. */
  malformed(id: number, why: string): void {
    const words = `malformed head of a request: ${why}`;
    this.#owner.malformed(new Fault("badRequest", words));
    this.breakStream(id, ERROR.protocolError, words);
  }

  /** Takes a setting, RFC 9113 section 6.5.2. The others have no effect: we push nothing and keep no table. */
  setting(setting: number, value: number): void {
    if (setting === SETTING.enablePush && value > 1) {
      throw new ConnectionError(ERROR.protocolError, "ENABLE_PUSH is neither 0 nor 1");
    }
    const isSize = value >= PAYLOAD_BYTES_MAX && value < 1 << 24;
    if (setting === SETTING.maxFrameSize && !isSize) {
      throw new ConnectionError(ERROR.protocolError, "MAX_FRAME_SIZE is out of range");
    }
    if (setting !== SETTING.initialWindowSize) return;
    if (value > WINDOW_MAX) {
      throw new ConnectionError(ERROR.flowControlError, "INITIAL_WINDOW_SIZE is too large");
    }
    const change = value - this.#streamWindow;
    this.#streamWindow = value;
    for (const stream of this.#streams) {
      stream.sendWindow += change;
      if (stream.sendWindow > WINDOW_MAX) {
        throw new ConnectionError(ERROR.flowControlError, "a window is too large");
      }
    }
  }

  /** The client accepts `increment` bytes more on this connection. */
  widen(increment: number): void {
    this.sendWindow += increment;
    if (this.sendWindow > WINDOW_MAX) {
      throw new ConnectionError(ERROR.flowControlError, "the window is too large");
    }
    this.wakeWaiting();
  }

  /** For a stream: bytes of the connection's window that were used. */
  used(count: number): void {
    this.#unannounced += count;
    if (this.#unannounced < RECEIVE_WINDOW / 2) return;
    this.receiveWindow += this.#unannounced;
    this.putWindow(0, this.#unannounced);
    this.#unannounced = 0;
  }

  /** For a stream: it is over. */
  remove(stream: Stream): void {
    const at = this.#streams.indexOf(stream);
    if (at < 0) return;
    this.#streams.splice(at, 1);
    const waitingAt = this.#waiting.indexOf(stream);
    if (waitingAt >= 0) this.#waiting.splice(waitingAt, 1);
    this.#owner.streamEnded();
  }

  /** For a stream: `waiter` is called when it may have room. Those that have waited longer come first. */
  waitForRoom(stream: Stream): void {
    this.#waiting.push(stream);
    if (stream.sendBy === Infinity) {
      stream.sendBy = this.settings.deadlines.in(this.settings.writeMs);
    }
  }

  /** What is printed from now on goes to `next`, while the buffer that is returned is being sent. */
  swapOut(next: FrameWriter): FrameWriter {
    const full = this.out;
    this.#outgoing = full.length;
    this.out = next;
    return full;
  }

  /** All that was being sent is sent: responses go on. */
  sent(): void {
    this.#outgoing = 0;
    this.wakeWaiting();
  }

  /** Lets responses go on that may send now. */
  wakeWaiting(): void {
    if (this.isBackedUp) return;
    const waiting = this.#waiting;
    for (let i = 0; i < waiting.length;) {
      const stream = waiting[i]!;
      if (stream.windowRoom <= 0 && stream.fault === undefined) i++;
      else {
        waiting.splice(i, 1);
        stream.wake();
      }
    }
  }

  /** Ends the streams whose deadlines have passed; `now`: by the coarse clock, in milliseconds. */
  tick(now: number): void {
    for (const stream of this.#streams.slice()) stream.tick(now);
  }

  /** A limit was reached for which one request ends, or is refused; `words`: for a person. */
  limitReached(rule: Http2Rule, words: string): void {
    this.#owner.streamBroken(rule, words);
  }

  /** The client sends nothing more: bodies that are incomplete stay so. */
  clientEnded(): void {
    for (const stream of this.#streams.slice()) stream.body.fail(CUT);
  }

  /** The connection has ended: so have all its streams. */
  fail(fault: Fault): void {
    for (const stream of this.#streams.slice()) stream.fail(fault);
  }

  /** Says that no more requests are served than those begun, or, if not `isFinal`, that this will be so soon. */
  goAway(isFinal: boolean, error: number = ERROR.noError, words = ""): void {
    if (isFinal) this.#acceptedMax = this.lastStream;
    this.out.goAway(isFinal ? this.lastStream : WINDOW_MAX, error, words);
    this.#owner.outputReady();
  }

  putHead(id: number, head: HeadWriter, options: BlockOptions): void {
    putHead(this.out, id, head, { ...options, first: this.#firstOfBlock }, this.#offsets);
    this.#hasSentBlock = true;
    this.#owner.outputReady();
  }

  /** Before anything else in the first block: that we keep no table. */
  get #firstOfBlock(): number | undefined {
    return this.#hasSentBlock ? undefined : NO_TABLE;
  }

  putTrailers(id: number, trailers: Fields): void {
    putTrailers(this.out, id, trailers);
    this.#owner.outputReady();
  }

  putData(id: number, bytes: Uint8Array, start: number, end: number, isLast: boolean): void {
    this.sendWindow -= end - start;
    this.#guard.dataSent(end - start);
    this.out.data(id, bytes, start, end, isLast);
    this.#owner.outputReady();
  }

  putReset(id: number, error: number): void {
    this.#recentlyReset[this.#resets++ % RESET_KEPT] = id;
    this.out.resetStream(id, error);
    this.#owner.outputReady();
  }

  putSettingsAck(): void {
    this.out.settingsAck();
    this.wakeWaiting();
    this.#owner.outputReady();
  }

  /** Answers a PING with its own eight bytes. */
  putPing(bytes: Uint8Array, start: number): void {
    this.out.ping(bytes, start, true);
    this.#owner.outputReady();
  }

  putWindow(id: number, increment: number): void {
    this.out.windowUpdate(id, increment);
    this.#owner.outputReady();
  }
}
