/**
 * Messages for a thread that waits in epoll. The sender posts a message and writes to an eventfd(2), which wakes
 * the loop; the loop then takes the messages without running JavaScript's event loop. Messages arrive in order.
 * The thread itself answers by `postMessage`.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Libc } from "./libc.ts";
import type { Loop, Tick, Watcher } from "./loop.ts";

/** Envelopes taken in one tick, so that many orders cannot delay the traffic. */
const ENVELOPES_MAX = 64;

/** Receives the messages of a mailbox. */
export interface MailReader<Envelope> {
  /** Takes one message. */
  read(envelope: Envelope): void;
  /** The eventfd was written to, with or without a message: there may be something to do. */
  woken(): void;
}

/** The receiving end, in the loop of its thread. */
export class Mailbox<Envelope> implements Watcher, Tick {
  queued = false;
  readonly #libc: Libc;
  readonly #loop: Loop;
  readonly #eventfd: number;
  readonly #port: MessagePort;
  readonly #reader: MailReader<Envelope>;

  /** The sender owns `eventfd`. */
  constructor(
    libc: Libc,
    loop: Loop,
    eventfd: number,
    port: MessagePort,
    reader: MailReader<Envelope>,
  ) {
    this.#libc = libc;
    this.#loop = loop;
    this.#eventfd = eventfd;
    this.#port = port;
    this.#reader = reader;
    loop.watch(eventfd, this);
    // For messages that were posted before `eventfd` was watched.
    loop.again(this);
  }

  ready(): void {
    // Reset before the messages are taken: an envelope that arrives in between wakes the loop again.
    this.#libc.settle(this.#eventfd);
    this.run();
    this.#reader.woken();
  }

  run(): void {
    for (let taken = 0; taken < ENVELOPES_MAX; taken++) {
      const envelope = receiveMessageOnPort(this.#port) as { message: Envelope } | undefined;
      if (envelope === undefined) return;
      this.#reader.read(envelope.message);
    }
    this.#loop.again(this);
  }
}
