/**
 * One end of a TCP connection with the calls of a C program: it can reset, send an urgent byte, close with
 * unread bytes and ask what was acknowledged. Deno's sockets can do none of this. For tests on the real kernel.
 *
 * Nothing blocks: what cannot be done yet is tried again each millisecond, for at most `TEST_DEADLINE_MS`.
 */
import type { Address } from "../../base/address.ts";
import { realClock, sleep } from "../../base/clock.ts";
import { EAGAIN } from "../errno.ts";
import { Libc } from "../libc.ts";
import { endpointOf, literalSockaddr } from "../sockaddr.ts";

const TABLE = {
  send: { parameters: ["i32", "buffer", "u32", "i32"], result: "i32" }, // int, const void*, size_t, int flags
} as const;

const MSG_OOB = 1;
const TEST_DEADLINE_MS = 60_000;
const FAST_BYTES = 262_144;
const SLOW_BYTES = 16_384;
/** The number of failed sends, one millisecond or more apart, after which all buffers count as full. */
const FULL_POLLS = 50;
const OPTIONS = { userTimeoutMs: 0 };

/** The calls that all sockets share, for the life of the process. */
const calls = Deno.build.os === "linux"
  ? { libc: new Libc(), extra: Deno.dlopen("libc.so.6", TABLE).symbols }
  : undefined;

function kernel() {
  if (calls === undefined) throw new Error("raw sockets need Linux");
  return calls;
}

/** How a connection ended for its reader. */
export type ReadEnd = "end" | "reset";

export class RawSocket implements Disposable {
  readonly #fd: number;
  #isOpen = true;
  /** Bytes read so far. */
  received = 0;

  constructor(fd: number) {
    if (fd < 0) throw new Error(`no socket: ${fd}`);
    this.#fd = fd;
  }

  static connect(to: Address): RawSocket {
    return new RawSocket(kernel().libc.connect(literalSockaddr(to)!, OPTIONS));
  }

  /** Undefined if the accept queue of a unix socket is full. */
  static tryConnect(to: Address): RawSocket | undefined {
    const fd = kernel().libc.connect(literalSockaddr(to)!, OPTIONS);
    return fd === -EAGAIN ? undefined : new RawSocket(fd);
  }

  /** Bytes that it sent and its peer's kernel has not acknowledged. */
  get unacked(): number {
    return kernel().libc.unacked(this.#fd);
  }

  async send(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    for (let sent = 0; sent < bytes.length;) {
      const count = kernel().libc.send(this.#fd, bytes, sent, bytes.length);
      if (count >= 0) sent += count;
      else if (count === -EAGAIN) await sleep(realClock, 1);
      else throw new Error(`send: ${count}`);
    }
  }

  /** Sends what fits now; the peer may be gone. */
  trySend(bytes: Uint8Array<ArrayBuffer>): void {
    kernel().libc.send(this.#fd, bytes, 0, bytes.length);
  }

  /** Sends until nothing has fitted for a while: all buffers between it and the peer are full. */
  async sendUntilFull(): Promise<void> {
    const bytes = new Uint8Array(262_144);
    for (let full = 0; full < FULL_POLLS; full++) {
      if (kernel().libc.send(this.#fd, bytes, 0, bytes.length) > 0) full = 0;
      await sleep(realClock, 1);
    }
  }

  /** Sends one byte out of band (tcp(7), MSG_OOB). */
  async sendUrgent(): Promise<void> {
    await this.#until(
      "there is room",
      () => kernel().extra.send(this.#fd, new Uint8Array([33]), 1, MSG_OOB) === 1,
    );
  }

  /** Waits until the peer's kernel has all that was sent. */
  async acknowledged(): Promise<void> {
    await this.#until("all is acknowledged", () => this.unacked <= 0);
  }

  /** Waits until there is something to read. */
  async readable(): Promise<void> {
    await this.#until("there is something to read", () => kernel().libc.peek(this.#fd) > 0);
  }

  /** Reads to the end: as fast as it can, or 16 KiB each millisecond. `check` gets each part and its position. */
  async readToEnd(
    isFast: boolean,
    check: (bytes: Uint8Array, at: number) => void,
  ): Promise<ReadEnd> {
    const buffer = new Uint8Array(isFast ? FAST_BYTES : SLOW_BYTES);
    const giveUpAt = realClock.now() + TEST_DEADLINE_MS;
    while (realClock.now() < giveUpAt) {
      const count = kernel().libc.receiveInto(this.#fd, buffer);
      if (count === 0) return "end";
      if (count < 0 && count !== -EAGAIN) return "reset";
      if (count > 0) check(buffer.subarray(0, count), this.received);
      if (count > 0) this.received += count;
      await sleep(realClock, count > 0 && isFast ? 0 : 1);
    }
    throw new Error(`no end after ${this.received} bytes`);
  }

  end(): void {
    kernel().libc.shutdownWrite(this.#fd);
  }

  /** Closes it at once with a reset, as SO_LINGER 0 does. */
  reset(): void {
    this.#isOpen = false;
    kernel().libc.reset(this.#fd);
  }

  /**
   * Closes it so that whatever the peer sends from now on is refused. `close` alone does not promise this: a
   * child process that another test starts holds all descriptors of this process until it executes its
   * program, and as long the connection lives, receives, and ends by a reset for what it has received.
   */
  closeNow(): void {
    kernel().libc.shutdown(this.#fd);
    this.close();
  }

  close(): void {
    this.#isOpen = false;
    kernel().libc.close(this.#fd);
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) this.close();
  }

  async #until(what: string, fact: () => boolean): Promise<void> {
    const giveUpAt = realClock.now() + TEST_DEADLINE_MS;
    while (!fact()) {
      if (realClock.now() > giveUpAt) throw new Error(`timed out waiting until ${what}`);
      await sleep(realClock, 1);
    }
  }
}

/** A port whose connections are raw sockets; without an address, one on loopback. */
export class RawListener implements Disposable {
  readonly #fd: number;
  readonly address: Address;

  constructor(at: Address = { kind: "tcp", host: "127.0.0.1", port: 0 }) {
    const { libc } = kernel();
    const options = { ...OPTIONS, backlog: 128 } as const;
    this.#fd = libc.listen(literalSockaddr(at)!, options);
    if (this.#fd < 0) throw new Error(`no listener: ${this.#fd}`);
    const endpoint = endpointOf(libc.localAddress(this.#fd));
    this.address = endpoint.kind === "ip"
      ? { kind: "tcp", host: endpoint.ip, port: endpoint.port }
      : at;
  }

  async accept(): Promise<RawSocket> {
    const giveUpAt = realClock.now() + TEST_DEADLINE_MS;
    while (realClock.now() < giveUpAt) {
      const fd = kernel().libc.accept(this.#fd);
      if (fd >= 0) return new RawSocket(fd);
      await sleep(realClock, 1);
    }
    throw new Error("nobody connected");
  }

  [Symbol.dispose](): void {
    kernel().libc.close(this.#fd);
  }
}

/** Connects to a unix socket until its accept queue is full. */
export function fillQueue(address: Address): RawSocket[] {
  const queued: RawSocket[] = [];
  for (let one = RawSocket.tryConnect(address); one !== undefined;) {
    queued.push(one);
    one = RawSocket.tryConnect(address);
  }
  return queued;
}
