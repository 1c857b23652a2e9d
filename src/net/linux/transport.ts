/** Plain connections on sockets of `linux/`, in a loop that is a guest on this thread. */
import type { Address } from "../../base/address.ts";
import type { Clock } from "../../base/clock.ts";
import { AcceptPauses } from "../accept.ts";
import { systemLookUp } from "../look_up.ts";
import { EAGAIN, errnoWords, isShortage } from "../../linux/errno.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { Libc } from "../../linux/libc.ts";
import { listenAt } from "./bind.ts";
import { Loop, type Tick, type Watcher } from "../../linux/loop.ts";
import { endpointOf, ipSockaddr, literalSockaddr } from "../../linux/sockaddr.ts";
import { LinuxConn } from "./conn.ts";
import { linuxDialer } from "./dial.ts";
import {
  type Acceptee,
  type AcceptOptions,
  type ListeningPort,
  type Sockets,
} from "../transport.ts";

/** Clients that the kernel keeps for us; it takes no more than net.core.somaxconn. */
const BACKLOG = 4_096;
/** Clients taken in one turn. */
const ACCEPTS_MAX = 64;

/** Throws what `Libc` throws where the kernel cannot be called (`linux/unsupported_reason.ts`). */
export function linuxSockets(clock: Clock): Sockets {
  const libc = new Libc();
  const host = new EmbeddedLoop(new Loop(libc), libc, clock);
  return {
    ...socketsIn(host),
    async close() {
      // What is still under way, or open by some mistake, must not call what is not there any more.
      if (await host.stop() && host.loop.watched === 0) libc[Symbol.dispose]();
    },
  };
}

/** The same in a loop that is another's to stop. */
export function socketsIn(host: EmbeddedLoop): Omit<Sockets, "close"> {
  return {
    dialer: (options) => linuxDialer(host, options),
    listen: (address, acceptee, options) => listen(host, address, acceptee, options),
  };
}

async function listen(
  host: EmbeddedLoop,
  asked: Address,
  acceptee: Acceptee,
  options: AcceptOptions,
): Promise<ListeningPort | string> {
  const address = await sockaddrOf(asked);
  if (address === undefined) return "name does not resolve";
  const { kernel } = host.loop;
  const { socketMode } = options;
  const fd = listenAt(kernel, address, {
    backlog: BACKLOG,
    reusePort: false,
    userTimeoutMs: 0,
    ...socketMode === undefined ? {} : { socketMode },
  });
  if (fd < 0) return errnoWords(fd);
  const bound = endpointOf(kernel.localAddress(fd));
  const acceptor = new Acceptor(host, fd, acceptee, options);
  const result = host.loop.watch(fd, acceptor);
  if (result < 0) {
    kernel.close(fd);
    return errnoWords(result);
  }
  const close = () => {
    // Only once: by the second time the file may be a successor's.
    if (acceptor.close() && asked.kind === "unix") kernel.unlinkSocket(asked.path);
  };
  return {
    address: bound.kind === "ip" && asked.kind === "tcp" ? { ...asked, port: bound.port } : asked,
    finished: Promise.race([acceptor.finished, host.finished]),
    end() {
      acceptor.takeAll();
      close();
    },
    close,
  };
}

async function sockaddrOf(address: Address): Promise<SockAddr | undefined> {
  const literal = literalSockaddr(address);
  if (literal !== undefined || address.kind === "unix") return literal;
  const [ip] = await systemLookUp(address.host);
  return ip === undefined ? undefined : ipSockaddr(ip, address.port);
}

class Acceptor implements Watcher, Tick {
  queued = false;
  readonly #host: EmbeddedLoop;
  readonly #listener: number;
  readonly #acceptee: Acceptee;
  readonly #options: AcceptOptions;
  readonly #end = Promise.withResolvers<void>();
  #isOver = false;
  /** Waits for room, or for the end of a shortage; who comes meanwhile stays in the kernel's queue. */
  #isWaiting = false;
  readonly #pauses = new AcceptPauses();
  #cancel: () => void = () => {};

  /** Owns `listener`. Whoever made it watches it for this. */
  constructor(host: EmbeddedLoop, listener: number, acceptee: Acceptee, options: AcceptOptions) {
    this.#host = host;
    this.#listener = listener;
    this.#acceptee = acceptee;
    this.#options = options;
    // Without a bug nobody ever looks at it.
    this.#end.promise.catch(() => {});
  }

  /** Resolves after `close`; rejects for a bug in the accept loop. */
  get finished(): Promise<void> {
    return this.#end.promise;
  }

  /** Takes in whoever is in the queue, whether or not there is room. */
  takeAll(): void {
    for (let taken = 0; taken < BACKLOG && !this.#isOver; taken++) {
      const client = this.#host.loop.kernel.accept(this.#listener);
      if (client === -EAGAIN || isShortage(client)) return;
      if (client >= 0) this.#admit(client);
    }
  }

  /** False if it was closed before. */
  close(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    this.#cancel();
    this.#host.loop.forget(this.#listener);
    this.#host.loop.kernel.close(this.#listener);
    this.#end.resolve();
    return true;
  }

  ready(): void {
    this.run();
  }

  run(): void {
    if (this.#isOver || this.#isWaiting) return;
    const { kernel } = this.#host.loop;
    for (let taken = 0; taken < ACCEPTS_MAX; taken++) {
      if (!this.#acceptee.hasRoom) return void this.#waitForRoom();
      const client = kernel.accept(this.#listener);
      if (client === -EAGAIN) return;
      if (isShortage(client)) return this.#pause(client);
      // Else it is an error of that one connection, which Linux reports here (accept(2)).
      if (client >= 0) this.#admit(client);
      if (this.#isWaiting) return;
    }
    this.#host.again(this);
  }

  #admit(client: number): void {
    const { loop } = this.#host;
    const conn = new LinuxConn(this.#host, client);
    const result = loop.watch(client, conn);
    if (result < 0) {
      conn.close();
      return this.#pause(result);
    }
    this.#pauses.over();
    const peer = endpointOf(loop.kernel.peerAddress(client));
    this.#acceptee.serve(conn, peer.kind === "ip" ? peer.ip : "unix").catch(this.#end.reject);
  }

  async #waitForRoom(): Promise<void> {
    this.#isWaiting = true;
    await this.#acceptee.room();
    this.#goOn();
  }

  #pause(result: number): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    const { clock, onAcceptFailed, onShortage } = this.#options;
    const { pauseMs, isNews } = this.#pauses.next(clock.now());
    if (isNews) onAcceptFailed?.(errnoWords(result), pauseMs);
    onShortage?.();
    this.#cancel = clock.after(pauseMs, () => this.#goOn());
  }

  #goOn(): void {
    this.#isWaiting = false;
    if (!this.#isOver) this.#host.again(this);
  }
}
