/** Connects sockets of `linux/`: each address of a name in turn, within one deadline for all of it. */
import { Fault } from "../base/fault.ts";
import { type LookUp, systemLookUp } from "../net/look_up.ts";
import { connectFaultOf, errnoWords } from "../linux/errno.ts";
import type { HostedLoop } from "../linux/hosted_loop.ts";
import { FAILED, type SockAddr, WRITABLE } from "../linux/kernel.ts";
import type { Watcher } from "../linux/loop.ts";
import { ipSockaddr } from "../linux/sockaddr.ts";
import type { Conn, Dial } from "./conn.ts";
import { LinuxConn } from "./conn_linux.ts";
import type { PlainDialOptions } from "./sockets.ts";

/** A way to open connections to one upstream. It rejects with a Fault; nothing has been sent then. */
export function linuxDialer(
  host: HostedLoop,
  options: PlainDialOptions,
  lookUp: LookUp = systemLookUp,
): Dial {
  const { hostname, port, clock, connectMs } = options;
  const literal = ipSockaddr(hostname, port);
  // One for all who dial: a look-up takes a thread, for long when nobody answers, and threads are few.
  let looking: Promise<readonly SockAddr[]> | undefined;
  const find = async () => {
    const found = await lookUp(hostname);
    looking = undefined;
    return found.map((ip) => ipSockaddr(ip, port)).filter((address) => address !== undefined);
  };
  return async (signal) => {
    const attempt = new Attempt(host);
    const late = () => attempt.giveUp(new Fault("connectTimeout"));
    const callOff = () => attempt.giveUp(new Fault("connectFailed", "called off"));
    const cancel = clock.after(connectMs, late);
    signal?.addEventListener("abort", callOff, { once: true });
    if (signal?.aborted) callOff();
    try {
      if (literal !== undefined) attempt.begin([literal]);
      // A look-up cannot be called off; what it finds too late, nobody connects to.
      else (looking ??= find()).then((found) => attempt.begin(found));
      return await attempt.outcome;
    } finally {
      cancel();
      signal?.removeEventListener("abort", callOff);
    }
  };
}

class Attempt implements Watcher {
  readonly #host: HostedLoop;
  readonly #end = Promise.withResolvers<Conn>();
  #left: readonly SockAddr[] = [];
  #fd = -1;
  #isOver = false;

  constructor(host: HostedLoop) {
    this.#host = host;
  }

  get outcome(): Promise<Conn> {
    return this.#end.promise;
  }

  begin(addresses: readonly SockAddr[]): void {
    this.#left = addresses;
    this.#next(new Fault("nameUnknown"));
  }

  ready(fd: number, flags: number): void {
    const { loop } = this.#host;
    const error = (flags & FAILED) === 0 ? 0 : loop.kernel.takeError(fd);
    if (error < 0) {
      this.#close();
      return this.#next(faultOf(error));
    }
    if ((flags & WRITABLE) === 0) return;
    this.#isOver = true;
    const conn = new LinuxConn(this.#host, fd);
    loop.rewatch(fd, conn);
    // It may have spoken, or left, already.
    conn.ready(fd, flags);
    this.#end.resolve(conn);
  }

  giveUp(fault: Fault): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#close();
    this.#end.reject(fault);
  }

  /** Tries the next address; when there is none left, `fault` is how it ended. */
  #next(fault: Fault): void {
    if (this.#isOver) return;
    const [address, ...left] = this.#left;
    if (address === undefined) return this.giveUp(fault);
    this.#left = left;
    const { loop } = this.#host;
    const fd = loop.kernel.connect(address, { userTimeoutMs: 0 });
    if (fd < 0) return this.#next(faultOf(fd));
    this.#fd = fd;
    const result = loop.watch(fd, this);
    if (result === 0) return;
    this.#close();
    this.#next(faultOf(result));
  }

  #close(): void {
    if (this.#fd === -1) return;
    this.#host.loop.forget(this.#fd);
    this.#host.loop.kernel.close(this.#fd);
    this.#fd = -1;
  }
}

function faultOf(result: number): Fault {
  const name = connectFaultOf(result);
  const needsWords = name === "connectFailed" || name === "localShortage";
  return new Fault(name, needsWords ? errnoWords(result) : undefined);
}
