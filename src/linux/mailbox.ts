/**
 * Mail for a thread that sits in epoll: the sender posts a message and writes to an eventfd, the loop is
 * woken by it and takes what has come, without a turn of JavaScript's event loop. Letters arrive in
 * order. It answers by `postMessage`, which needs no help.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { Libc } from "./libc.ts";
import type { Loop, Turn, Watcher } from "./loop.ts";

/** Letters taken in one turn, so that a flood of orders cannot starve the traffic. */
const LETTERS_MAX = 64;

export class Mailbox<Letter> implements Watcher, Turn {
  queued = false;
  readonly #libc: Libc;
  readonly #loop: Loop;
  readonly #eventfd: number;
  readonly #port: MessagePort;
  readonly #read: (letter: Letter) => void;

  /** Borrows `eventfd`, which the sender owns. */
  constructor(
    libc: Libc,
    loop: Loop,
    eventfd: number,
    port: MessagePort,
    read: (letter: Letter) => void,
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
    // Emptied before the mail is taken: a letter that comes in between rings again.
    this.#libc.settle(this.#eventfd);
    this.run();
  }

  run(): void {
    for (let taken = 0; taken < LETTERS_MAX; taken++) {
      const letter = receiveMessageOnPort(this.#port) as { message: Letter } | undefined;
      if (letter === undefined) return;
      this.#read(letter.message);
    }
    this.#loop.again(this);
  }
}
