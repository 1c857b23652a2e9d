/**
 * A listening socket of another process as a listener of Deno's, which cannot be made of a descriptor. Clients are
 * accepted by system calls, so that those beyond a limit stay in the kernel's queue, and become sockets of node:net,
 * which can.
 */
import net from "node:net";
import { EAGAIN, errnoWords, isShortageErrno } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import { closeDescriptors } from "../../linux/pass_descriptors.ts";
import { prepareReceived } from "../../linux/received_socket.ts";
import { addressOfSockaddr, ipSockaddr, literalSockaddr } from "../../linux/sockaddr.ts";
import type { Address } from "../../base/address.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { removeSocketFile, socketFileId } from "../../linux/socket_file.ts";
import { BACKLOG } from "../accept.ts";
import type { PassedListener, ReceivedPort } from "../handover.ts";
import { whyNotUsed } from "../linux/received.ts";
import { systemLookUp } from "../look_up.ts";

/** How long one wait for clients lasts, in milliseconds. */
const WAIT_MS = 500;

/** Accepts on a socket that another process has opened. */
export class ReceivedListener implements Pick<Deno.Listener, "accept" | "close" | "addr"> {
  readonly addr: Deno.Addr;
  readonly passed: PassedListener;
  readonly #libc = new Libc();
  readonly #closed: (listener: PassedListener) => void;
  /** Ends a wait for clients at once. */
  readonly #eventfd: number;
  /** The file of a unix socket. */
  readonly #fileId: string | undefined;
  #isWaiting = false;
  #isClosed = false;

  /** Owns a socket that listens; `closed` gets it back if it is lent. */
  constructor(passed: PassedListener, closed: (listener: PassedListener) => void) {
    this.passed = passed;
    this.addr = denoAddrOf(this.#libc.localAddress(passed.descriptor));
    this.#closed = closed;
    this.#fileId = this.addr.transport === "unix" ? socketFileId(this.addr.path) : undefined;
    prepareReceived(passed.descriptor, { backlog: BACKLOG, userTimeoutMs: 0 });
    this.#eventfd = this.#libc.eventfd();
    this.#libc.watch(this.#eventfd, 0);
    this.#libc.watch(passed.descriptor, 1);
  }

  /** As that of Deno's listeners; one call at a time. */
  async accept(): Promise<Deno.Conn> {
    for (;;) {
      if (this.#isClosed) throw new Deno.errors.BadResource("Listener has been closed");
      const client = this.#libc.accept(this.passed.descriptor);
      if (client >= 0) return this.#conn(client);
      // Any other error is one of that connection (accept(2)).
      if (isShortageErrno(client)) throw new Error(errnoWords(client));
      if (client !== -EAGAIN) continue;
      this.#isWaiting = true;
      await this.#libc.pollElsewhere(WAIT_MS);
      this.#libc.poll(0); // edge-triggered: what was reported is taken
      this.#isWaiting = false;
      if (this.#isClosed) this.#free();
    }
  }

  close(): void {
    if (this.#isClosed) throw new Deno.errors.BadResource("Listener has been closed");
    const { addr, passed } = this;
    if (passed.isLent !== true && addr.transport === "unix" && this.#fileId !== undefined) {
      // By now the file may be that of another process.
      removeSocketFile(addr.path, this.#fileId);
    }
    this.#end(passed.isLent === true);
  }

  /** Closes it in this process only: another one has the socket, its file and the clients in the queue. */
  leave(): void {
    if (!this.#isClosed) this.#end(false);
  }

  #end(goesBack: boolean): void {
    this.#isClosed = true;
    this.#libc.unwatch(this.passed.descriptor);
    if (goesBack) this.#closed(this.passed);
    else this.#libc.close(this.passed.descriptor);
    if (this.#isWaiting) this.#libc.wake(this.#eventfd);
    else this.#free();
  }

  #free(): void {
    this.#libc.close(this.#eventfd);
    this.#libc[Symbol.dispose]();
  }

  #conn(client: number): Deno.Conn {
    const remote = denoAddrOf(this.#libc.acceptedAddress());
    const local = denoAddrOf(this.#libc.localAddress(client));
    const socket = new net.Socket({ fd: client, allowHalfOpen: true });
    return new SocketConn(socket, remote, local) as unknown as Deno.Conn;
  }
}

/**
 * The socket that another process has left for this address, if it is one that listens there. `warn` gets a line if it
 * does not.
 */
export async function receivedListener(
  address: Address,
  received: ReceivedPort,
  warn: (line: string) => void = () => {},
): Promise<Deno.Listener | undefined> {
  const passed = received.take();
  if (passed === undefined) return undefined;
  const line = whyNotUsed(passed, literalSockaddr(address) ?? await lookedUp(address));
  if (line !== undefined) {
    warn(line);
    if (passed.isLent === true) received.giveBack(passed);
    else closeDescriptors([passed.descriptor]);
    return undefined;
  }
  const listener = new ReceivedListener(passed, (listener) => received.giveBack(listener));
  return listener as unknown as Deno.Listener;
}

async function lookedUp(address: Address): Promise<SockAddr | undefined> {
  if (address.kind === "unix") return undefined;
  const [ip] = await systemLookUp(address.host);
  return ip === undefined ? undefined : ipSockaddr(ip, address.port);
}

function denoAddrOf(address: SockAddr): Deno.Addr {
  const found = addressOfSockaddr(address);
  return found.kind === "unix"
    ? { transport: "unix", path: found.path }
    : { transport: "tcp", hostname: found.host, port: found.port };
}

/** A socket of node:net with the methods of `Deno.Conn` that this program uses. */
class SocketConn {
  readonly #socket: net.Socket;
  #error: Error | undefined;
  #isEnded = false;
  #isClosed = false;
  /** Tries a pending read again. */
  #wake: () => void = () => {};

  constructor(socket: net.Socket, readonly remoteAddr: Deno.Addr, readonly localAddr: Deno.Addr) {
    this.#socket = socket;
    socket.on("readable", () => this.#wake());
    socket.on("end", () => {
      this.#isEnded = true;
      this.#wake();
    });
    socket.on("error", (error: Error) => {
      this.#error = error;
      this.#wake();
    });
    socket.on("close", () => this.#wake());
  }

  async read(buffer: Uint8Array): Promise<number | null> {
    for (;;) {
      if (this.#isClosed) throw new Deno.errors.Interrupted("operation canceled");
      const available = this.#socket.readableLength;
      const bytes = available === 0
        ? null
        : this.#socket.read(Math.min(buffer.length, available)) as Uint8Array | null;
      if (bytes !== null) {
        buffer.set(bytes);
        return bytes.length;
      }
      if (this.#isEnded) return null;
      if (this.#error !== undefined) throw this.#error;
      if (this.#socket.destroyed) throw new Deno.errors.BadResource("Bad resource ID");
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        // Asks for more: without a call of `read` there is no further event.
        this.#socket.read(0);
      });
    }
  }

  write(bytes: Uint8Array): Promise<number> {
    return new Promise((resolve, reject) => {
      // The caller may use its buffer again only when this has resolved, so no copy is needed.
      this.#socket.write(bytes, (error) => error ? reject(error) : resolve(bytes.length));
    });
  }

  closeWrite(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed || this.#socket.writableFinished) return resolve();
      this.#socket.once("close", resolve);
      this.#socket.end(resolve);
    });
  }

  close(): void {
    if (this.#isClosed) throw new Deno.errors.BadResource("Bad resource ID");
    this.#isClosed = true;
    this.#socket.destroy();
    this.#wake();
  }

  setNoDelay(enable = true): void {
    this.#socket.setNoDelay(enable);
  }

  setKeepAlive(enable = true): void {
    this.#socket.setKeepAlive(enable);
  }
}
