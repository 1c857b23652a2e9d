/**
 * Messages on a link: a framer finds them in the bytes, and `next` gives them out one by one. What a server may send
 * for one question is limited, so that none can fill the memory of this process.
 */
import { Fault, faultOf } from "../base/fault.ts";
import { ended, type Link } from "./link.ts";

/** What a server may send between two questions, TLS not counted. Real answers have a few hundred bytes. */
export const ANSWER_MAX_BYTES = 256 * 1024;

/** Finds the messages of one protocol in a stream of bytes. Pure: it knows no connection. */
export interface Framer<Message> {
  /** Adds bytes, which it copies, and returns the messages that are whole. Throws a `Fault` at bytes that cannot be. */
  push(bytes: Uint8Array): Message[];
}

interface Waiting<Message> {
  readonly resolve: (message: Message) => void;
  readonly reject: (fault: Fault) => void;
}

/** The messages of one link. It owns the link. */
export class Conversation<Message> {
  /** Called once, when the link has ended although nobody awaited a message. Must not throw. */
  onEnd: (fault: Fault) => void = () => {};
  readonly link: Link;
  readonly #framer: Framer<Message>;
  readonly #arrived: Message[] = [];
  #bytes = 0;
  #waiting: Waiting<Message> | undefined;
  /** Why it is over; undefined while it is not. */
  #fault: Fault | undefined;

  constructor(link: Link, framer: Framer<Message>) {
    this.link = link;
    this.#framer = framer;
    link.onBytes = (bytes) => this.#take(bytes);
    link.onEnd = (fault) => this.#end(fault);
    if (link.isOver) this.#fault = ended();
  }

  /** True when no further message can come. */
  get isOver(): boolean {
    return this.#fault !== undefined;
  }

  /** Begins a question: what came unasked is forgotten, and the limit counts from here. */
  begin(): void {
    this.#arrived.length = 0;
    this.#bytes = 0;
  }

  /** What came unasked since the last question. */
  unread(): readonly Message[] {
    return this.#arrived;
  }

  /** The next message. Rejects with a `Fault` when none can come any more. Only one call at a time. */
  next(): Promise<Message> {
    const message = this.#arrived.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.#fault !== undefined) return Promise.reject(this.#fault);
    return new Promise((resolve, reject) => this.#waiting = { resolve, reject });
  }

  /** Ends it; a pending `next` rejects with `fault`. */
  abort(fault: Fault): void {
    this.link.abort();
    this.#end(fault, true);
  }

  /** Ends it in order, as `Link.close`. Nothing is called afterwards. */
  close(): Promise<void> {
    const closed = this.link.close();
    this.#end(new Fault("connectFailed", "closed by us"), true);
    return closed;
  }

  #take(bytes: Uint8Array): void {
    if (this.#fault !== undefined) return;
    this.#bytes += bytes.length;
    try {
      if (this.#bytes > ANSWER_MAX_BYTES) throw new Fault("badResponse", "an answer without end");
      for (const message of this.#framer.push(bytes)) this.#give(message);
    } catch (error) {
      this.link.abort();
      this.#end(faultOf(error));
    }
  }

  #give(message: Message): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting === undefined) this.#arrived.push(message);
    else waiting.resolve(message);
  }

  #end(fault: Fault, isOurs = false): void {
    if (this.#fault !== undefined) return;
    this.#fault = fault;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting !== undefined) waiting.reject(fault);
    else if (!isOurs) this.onEnd(fault);
  }
}
