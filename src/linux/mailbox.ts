/**
 * Mail for a thread that sits in epoll: the sender posts a message and writes to an eventfd, the loop is
 * woken by it and takes what has come, without a turn of JavaScript's event loop. Envelopes arrive in
 * order. It answers by `postMessage`, which needs no help.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Libc } from "./libc.ts";
import type { Loop, Tick, Watcher } from "./loop.ts";

/** Envelopes taken in one turn, so that a flood of orders cannot starve the traffic. */
const ENVELOPES_MAX = 64;

export class Mailbox<Envelope> implements Watcher, Tick {
  queued = false;
  readonly #libc: Libc;
  readonly #loop: Loop;
  readonly #eventfd: number;
  readonly #port: MessagePort;
  readonly #read: (envelope: Envelope) => void;

  /** Borrows `eventfd`, which the sender owns. */
  constructor(
    libc: Libc,
    loop: Loop,
    eventfd: number,
    port: MessagePort,
    read: (envelope: Envelope) => void,
  ) {
    this.#libc = libc;
    this.#loop = loop;
    this.#eventfd = eventfd;
    this.#port = port;
    this.#read = read;
    loop.watch(eventfd, this);
    // What was posted before we watched.
    loop.again(this);
  }

  ready(): void {
    // Emptied before the mail is taken: a envelope that comes in between rings again.
    this.#libc.settle(this.#eventfd);
    this.run();
  }

  run(): void {
    for (let taken = 0; taken < ENVELOPES_MAX; taken++) {
      const envelope = receiveMessageOnPort(this.#port) as { message: Envelope } | undefined;
      if (envelope === undefined) return;
      this.#read(envelope.message);
    }
    this.#loop.again(this);
  }
}
