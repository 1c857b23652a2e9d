/**
 * A unix socket for a few clients; the kernel says which process and user each one is (`SO_PEERCRED`, unix(7)).
 * While there is no client it costs nothing but a helper thread that waits in poll(2): the loop in which
 * connections are served runs only while there are some.
 */
import { sleep } from "../../base/clock.ts";
import { EADDRINUSE, errnoWords } from "../../linux/errno.ts";
import { Libc } from "../../linux/libc.ts";
import { Loop } from "../../linux/loop.ts";
import { type PeerCredentials, ProcessLibc } from "../../linux/process_libc.ts";
import { prepareReceived } from "../../linux/received_socket.ts";
import { removeSocketFile, socketFileId } from "../../linux/socket_file.ts";
import { unixSockaddr } from "../../linux/sockaddr.ts";
import { AcceptPauses } from "../accept.ts";
import type { Acceptee, AcceptOptions } from "../transport.ts";
import { holderOf, listenAt } from "./bind.ts";
import { LinuxConn } from "./conn.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import { acceptBatch, type BatchTaker } from "./listener.ts";

/** The longest wait of the helper thread, in milliseconds. */
const WAIT_MS = 60_000;
/** Clients that may wait to be accepted (listen(2)). */
const QUEUE_MAX = 64;

/** An open listener. */
export interface LocalListener extends AsyncDisposable {
  /** Resolves when it is closed; rejects for a bug. */
  readonly finished: Promise<void>;
  /** The listening socket, if it can be handed over to another process. */
  readonly descriptor: number | undefined;
  /** Accepts no more clients. The socket and its file are another process's now; connections may end here. */
  leave(): void;
}

/** Why it cannot listen. `holder`: the process that listens at this path already, if it is known. */
export interface CannotListen {
  readonly reason: string;
  readonly holder?: number;
}

/** The loop of the present connections; it exists only while there are some. */
interface Hosting {
  readonly host: EmbeddedLoop;
  readonly libc: Libc;
  conns: number;
}

/** `uid=1000 pid=42`: the client's name for its server, read by `parsePeer`. */
export function formatPeer({ uid, pid }: PeerCredentials): string {
  return `uid=${uid} pid=${pid}`;
}

/** The credentials that `formatPeer` wrote; undefined for any other text. */
export function parsePeer(text: string): PeerCredentials | undefined {
  const found = /^uid=(\d+) pid=(\d+)$/.exec(text);
  return found === null ? undefined : { uid: Number(found[1]), pid: Number(found[2]) };
}

/**
 * Listens at `path` and serves the clients, each under the name that `formatPeer` gives it. The socket file of
 * a process that crashed is replaced. Throws what `Libc` throws if the kernel cannot be called. Owns `libc`, which
 * tests replace. `received` is a socket that listens there already, which another process has handed over.
 */
export function listenLocally(
  path: string,
  acceptee: Acceptee,
  options: AcceptOptions,
  libc = new Libc(),
  received?: number,
): LocalListener | CannotListen {
  if (received !== undefined) {
    prepareReceived(received, { backlog: QUEUE_MAX, userTimeoutMs: 0 });
    return new LinuxLocalListener(libc, received, path, acceptee, options);
  }
  const address = unixSockaddr(path);
  const { socketMode } = options;
  const mode = socketMode === undefined ? {} : { socketMode };
  const fd = listenAt(libc, address, { backlog: QUEUE_MAX, userTimeoutMs: 0, ...mode });
  if (fd >= 0) return new LinuxLocalListener(libc, fd, path, acceptee, options);
  const holder = fd === -EADDRINUSE ? holderOf(libc, address) : undefined;
  libc[Symbol.dispose]();
  return { reason: errnoWords(fd), ...holder === undefined ? {} : { holder } };
}

class LinuxLocalListener implements LocalListener, BatchTaker {
  readonly finished: Promise<void>;
  /** Always false: there are too few clients to end a batch early. */
  readonly isPaused = false;
  readonly #libc: Libc;
  readonly #process = new ProcessLibc();
  readonly #fd: number;
  readonly #eventfd: number;
  readonly #path: string;
  #fileId: string | undefined;
  readonly #acceptee: Acceptee;
  readonly #options: AcceptOptions;
  readonly #pauses = new AcceptPauses();
  readonly #stop = new AbortController();
  readonly #endings = new Set<Promise<void>>();
  #hosting: Hosting | undefined;

  constructor(
    libc: Libc,
    fd: number,
    path: string,
    acceptee: Acceptee,
    options: AcceptOptions,
  ) {
    this.#libc = libc;
    this.#fd = fd;
    this.#path = path;
    this.#fileId = socketFileId(path);
    this.#acceptee = acceptee;
    this.#options = options;
    this.#eventfd = libc.eventfd();
    libc.watch(this.#eventfd, 0);
    libc.watch(fd, 0);
    this.finished = this.#run();
    // The owner may await it later.
    this.finished.catch(() => {});
  }

  get descriptor(): number {
    return this.#fd;
  }

  leave(): void {
    this.#fileId = undefined;
    this.#stop.abort();
    this.#libc.wake(this.#eventfd);
  }

  /** Closes the listener and removes its file. The caller ends the connections first. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#stop.signal.aborted) return await this.finished.catch(() => {});
    this.#stop.abort();
    this.#libc.wake(this.#eventfd);
    await this.finished.catch(() => {});
  }

  async #run(): Promise<void> {
    const libc = this.#libc;
    try {
      while (!this.#stop.signal.aborted) {
        await libc.pollElsewhere(WAIT_MS);
        libc.poll(0); // takes the events, which epoll would report again
        libc.settle(this.#eventfd);
        await this.#acceptAll();
      }
    } finally {
      // Another process may listen there by now, if somebody has removed our file.
      if (this.#fileId !== undefined) removeSocketFile(this.#path, this.#fileId);
      libc.close(this.#fd);
      await Promise.all(this.#endings);
      libc.close(this.#eventfd);
      this.#process[Symbol.dispose]();
      libc[Symbol.dispose]();
    }
  }

  async #acceptAll(): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const end = acceptBatch(this.#libc, this.#fd, this);
      if (end === "empty") return;
      if (end === "full") await this.#acceptee.room();
      else if (end !== "more") await this.#pause(end);
    }
  }

  async #pause(result: number): Promise<void> {
    const { clock, onAcceptFailed, onShortage } = this.#options;
    const { pauseMs, isNews } = this.#pauses.next(clock.now());
    if (isNews) onAcceptFailed?.(errnoWords(result), pauseMs);
    onShortage?.();
    await sleep(clock, pauseMs, this.#stop.signal).catch(() => {});
  }

  get hasRoom(): boolean {
    return this.#acceptee.hasRoom;
  }

  take(client: number): void {
    this.#pauses.over();
    const hosting = this.#hosting ??= this.#newHosting();
    const { loop } = hosting.host;
    const conn = new LinuxConn(hosting.host, client);
    if (loop.watch(client, conn) < 0) return conn.close();
    hosting.conns++;
    const peer = this.#process.peerCredentials(client);
    const name = peer === undefined ? "unix" : formatPeer(peer);
    void this.#acceptee.serve(conn, name).catch(() => {}).finally(() => this.#ended(hosting));
  }

  #newHosting(): Hosting {
    const libc = new Libc();
    return { host: new EmbeddedLoop(new Loop(libc), libc, this.#options.clock), libc, conns: 0 };
  }

  #ended(hosting: Hosting): void {
    if (--hosting.conns > 0) return;
    if (this.#hosting === hosting) this.#hosting = undefined;
    const ending = (async () => {
      const { host, libc } = hosting;
      if (await host.stop() && host.loop.watched === 0) libc[Symbol.dispose]();
    })();
    this.#endings.add(ending);
    void ending.finally(() => this.#endings.delete(ending));
  }
}
