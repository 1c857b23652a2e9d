/** One stream of a connection (RFC 9113 section 5): its state, its windows, and what goes out on it. */
import { Fault } from "../base/fault.ts";
import type { Fields } from "../http1/fields.ts";
import type { RequestHead } from "../http1/head.ts";
import type { HeadWriter } from "../http1/head_writer.ts";
import { ERROR, PAYLOAD_BYTES_MAX, WINDOW_MAX, WINDOW_START } from "./frames.ts";
import type { Http2Connection } from "./connection.ts";
import type { BlockOptions } from "./response_block.ts";
import type { RequestFields } from "./request_head.ts";
import { StreamBody, type StreamBodyEvents } from "./stream_body.ts";

/** The window of a stream whose body is being used, in bytes. Before that it is `WINDOW_START`. */
const WINDOW_IN_USE = 256 * 1024;
/** A client must take at least this many bytes of a response within the time-out of writes. */
const PROGRESS_BYTES = 1024;

/** How much of the rest of a request is taken after its response: in bytes, and in milliseconds. */
const DISCARD_BYTES_MAX = 64 * 1024;
const DISCARD_MS = 2_000;
/** Made once, because an Error is expensive. */
const UNUSED = new Fault("clientGone", "the request was answered before its end");

/** Learns what happens to a stream. */
export interface StreamOwner {
  /** The client has reset it, or it has failed otherwise. Called once at most. */
  failed(fault: Fault): void;
  /** Somebody waits for the body for the first time. */
  bodyAwaited(): void;
}

/** From the head of the request to the end of both sides. */
export class Stream implements StreamBodyEvents {
  /** What the client sends: the body of the request, or its side of a tunnel. */
  readonly body: StreamBody;
  /** True for an extended CONNECT (RFC 8441): DATA belongs to the tunnel and not to the request. */
  readonly isTunnel: boolean;
  owner: StreamOwner | undefined;
  /** What the request is answered with, if its head cannot be served. */
  refusal: Fault | undefined;
  /** Bytes that we may send; below 0 if the client has made the windows smaller. */
  sendWindow: number;
  /** Bytes that the client may still send. */
  receiveWindow = WINDOW_START;
  /** Set while the response waits for room; resolves it. */
  waiter: (() => void) | undefined;
  /** When it ends if the client opens no window, by the coarse clock; Infinity while it may send. */
  sendBy = Infinity;
  /** True once the tunnel is open: each side ends its own direction. */
  isOpenTunnel = false;
  /** True once the client was sent some of the response's body. */
  hasSentData = false;
  #windowGoal = WINDOW_START;
  /** Bytes that were used and that the client may not send again yet. */
  #unannounced = 0;
  #sentSince = 0;
  /** When the rest of a request must have come that is answered already; Infinity before that. */
  #discardBy = Infinity;
  #discarded = 0;
  #isLocalEnd = false;
  #isOver = false;
  #fault: Fault | undefined;

  /** `head`: undefined if the request is answered with a fault. */
  constructor(
    readonly id: number,
    readonly connection: Http2Connection,
    readonly head: RequestHead | undefined,
    readonly fields: RequestFields,
    isEnded: boolean,
  ) {
    this.sendWindow = connection.streamWindow;
    this.isTunnel = head !== undefined && fields.webSocketKey !== undefined;
    const { bodyRules, deadlines } = connection.settings;
    const rules = this.isTunnel ? { ...bodyRules, waitMs: 0, rateMin: 0 } : bodyRules;
    const length = head?.semantics.length ?? -1;
    const declared = this.isTunnel || length < 0 ? undefined : length;
    this.body = new StreamBody(declared, isEnded, rules, deadlines, this);
  }

  beforeBodyWait(): void {
    this.owner?.bodyAwaited();
  }

  /** Why it ended, if it ended badly. */
  get fault(): Fault | undefined {
    return this.#fault;
  }

  /** True once we have sent our last frame. */
  get isLocalEnd(): boolean {
    return this.#isLocalEnd;
  }

  /** True once nothing more goes out or comes in. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** True for a GET or HEAD without a body. */
  get isGet(): boolean {
    const method = this.head?.method;
    return (method === "GET" || method === "HEAD") && this.body.none;
  }

  /** Sends a head; the last frame if `options.isLast`. Throws a Fault if it is no head of a response. */
  sendHead(head: HeadWriter, options: BlockOptions): void {
    if (this.#fault !== undefined) throw this.#fault;
    this.connection.putHead(this.id, head, options);
    if (options.isLast) this.#end();
  }

  /** The client accepts `increment` bytes more on this stream; false if its window is too large then. */
  widen(increment: number): boolean {
    this.sendWindow += increment;
    if (this.sendWindow > WINDOW_MAX) return false;
    if (this.waiter !== undefined) this.connection.wakeWaiting();
    return true;
  }

  /** How many bytes of DATA may be sent now. */
  get room(): number {
    if (this.#fault !== undefined || this.connection.isBackedUp) return 0;
    return Math.max(0, Math.min(this.windowRoom, PAYLOAD_BYTES_MAX));
  }

  /** How many bytes the windows of the stream and of the connection allow. */
  get windowRoom(): number {
    return Math.min(this.sendWindow, this.connection.sendWindow);
  }

  /** Sends DATA, which must fit into `room`. */
  sendData(bytes: Uint8Array, start: number, end: number, isLast: boolean): void {
    const count = end - start;
    if (count > 0) this.hasSentData = true;
    this.sendWindow -= count;
    this.#sentSince += count;
    if (this.#sentSince >= PROGRESS_BYTES) {
      this.#sentSince = 0;
      this.sendBy = Infinity;
    }
    this.connection.putData(this.id, bytes, start, end, isLast);
    if (isLast) this.#end();
  }

  /** Sends trailers, which end our side. */
  sendTrailers(trailers: Fields): void {
    if (this.#fault !== undefined) throw this.#fault;
    this.connection.putTrailers(this.id, trailers);
    this.#end();
  }

  /** Resolves when there may be room again. Rejects with the fault of the stream. */
  async waitForRoom(): Promise<void> {
    if (this.#fault !== undefined) throw this.#fault;
    await new Promise<void>((resolve) => {
      this.waiter = resolve;
      this.connection.waitForRoom(this);
    });
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Ends it at once, on both sides. */
  reset(error: number, fault: Fault): void {
    if (this.#isOver) return;
    this.connection.putReset(this.id, error);
    this.fail(fault);
  }

  /** Ends it without a frame, because the client knows already. */
  fail(fault: Fault): void {
    if (this.#isOver) return;
    this.#fault = fault;
    this.body.fail(fault);
    this.#close();
    this.wake();
    this.owner?.failed(fault);
  }

  wake(): void {
    const { waiter } = this;
    this.waiter = undefined;
    waiter?.();
  }

  /**
   * Our side has ended. What the client still sends of its request is of no use to anybody. A little of it is
   * taken, because many clients take a reset for a failure of the response (RFC 9113 section 8.1).
   */
  #end(): void {
    this.#isLocalEnd = true;
    if (this.body.isComplete) return this.#close();
    if (this.isOpenTunnel) return;
    this.#discardBy = this.connection.settings.deadlines.in(DISCARD_MS);
    this.body.cancel();
  }

  /** Ends it if the client opens no window, or goes on with a request that is answered. */
  tick(now: number): void {
    if (now >= this.#discardBy) this.reset(ERROR.noError, UNUSED);
    else if (this.waiter === undefined) return;
    else if (this.windowRoom > 0) {
      const { deadlines, writeMs } = this.connection.settings;
      this.sendBy = deadlines.in(writeMs);
    } else if (now >= this.sendBy) {
      const words = "no window for a response was opened in time";
      this.connection.limitReached("slow_windows", words);
      this.reset(ERROR.cancel, new Fault("slowReader", words));
    }
  }

  /** The client's side has ended. */
  remoteEnded(): void {
    if (this.#isLocalEnd) this.#close();
  }

  #close(): void {
    this.#isOver = true;
    this.connection.remove(this);
    this.body.cancel();
  }

  /** `count` bytes of its body were used, so the client may send as many again. */
  used(count: number): void {
    this.connection.used(count);
    if (this.#isOver || this.body.isComplete) return;
    if (this.#discardBy !== Infinity) {
      this.#discarded += count;
      if (this.#discarded > DISCARD_BYTES_MAX) return this.reset(ERROR.noError, UNUSED);
    }
    this.#unannounced += count;
    if (this.#windowGoal < WINDOW_IN_USE) {
      this.#unannounced += WINDOW_IN_USE - this.#windowGoal;
      this.#windowGoal = WINDOW_IN_USE;
    }
    if (this.#unannounced < this.#windowGoal / 2) return;
    this.receiveWindow += this.#unannounced;
    this.connection.putWindow(this.id, this.#unannounced);
    this.#unannounced = 0;
  }
}
