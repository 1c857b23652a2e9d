/** The contract of `net/transport.ts` with sockets of the kernel, in a loop inside Deno's event loop. */
import type { Address } from "../../base/address.ts";
import { BACKLOG } from "../accept.ts";
import type { Clock } from "../../base/clock.ts";
import { systemLookUp } from "../look_up.ts";
import { errnoWords } from "../../linux/errno.ts";
import { EmbeddedLoop } from "./embedded_loop.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { Libc } from "../../linux/libc.ts";
import { closeDescriptors } from "../../linux/pass_descriptors.ts";
import { prepareReceived } from "../../linux/received_socket.ts";
import type { PassedListener } from "../handover.ts";
import { listenAt } from "./bind.ts";
import { whyNotUsed } from "./received.ts";
import { Loop } from "../../linux/loop.ts";
import { endpointOf, ipSockaddr, literalSockaddr } from "../../linux/sockaddr.ts";
import { removeSocketFile, socketFileId } from "../../linux/socket_file.ts";
import { LinuxTerminator, secureDialer } from "./secure.ts";
import { TlsContexts } from "../tls_contexts.ts";
import { LinuxAcceptor, type Sharing } from "./listener.ts";
import {
  type Acceptee,
  type AcceptOptions,
  type ListeningPort,
  type Sockets,
} from "../transport.ts";

/** Throws what `Libc` throws if the kernel cannot be called (`linux/unsupported_reason.ts`). */
export function linuxSockets(clock: Clock): Sockets {
  const libc = new Libc();
  const host = new EmbeddedLoop(new Loop(libc), libc, clock);
  const contexts = new TlsContexts();
  return {
    ...socketsIn(host, contexts),
    async close() {
      contexts.close();
      // Calls that are still pending, or sockets left open by a bug, must not use a library that was closed.
      if (await host.stop() && host.loop.watched === 0) libc[Symbol.dispose]();
    },
  };
}

/** The same in a loop that the caller stops, and with contexts that the caller closes. */
export function socketsIn(host: EmbeddedLoop, contexts: TlsContexts): Omit<Sockets, "close"> {
  return {
    dialer: (options) => secureDialer(host, options, contexts),
    terminator: (settings) => new LinuxTerminator(host, settings),
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
  const { socketMode, received } = options;
  const found = takeReceived(address, options);
  const fd = found?.descriptor ?? listenAt(kernel, address, {
    backlog: BACKLOG,
    userTimeoutMs: 0,
    ...socketMode === undefined ? {} : { socketMode },
  });
  if (fd < 0) return errnoWords(fd);
  const fileId = asked.kind === "unix" ? socketFileId(asked.path) : undefined;
  const bound = endpointOf(kernel.localAddress(fd));
  const acceptor = new LinuxAcceptor(host, fd, acceptee, options);
  const result = host.loop.watch(fd, acceptor);
  if (result < 0) {
    kernel.close(fd);
    return errnoWords(result);
  }
  const isLent = found?.isLent === true;
  const close = () => {
    if (isLent && acceptor.leave()) return received!.giveBack(found);
    const isOpen = acceptor.close();
    // By now the file may be that of another process.
    if (isOpen && asked.kind === "unix" && fileId !== undefined) {
      removeSocketFile(asked.path, fileId);
    }
  };
  return {
    address: bound.kind === "ip" && asked.kind === "tcp" ? { ...asked, port: bound.port } : asked,
    finished: Promise.race([acceptor.finished, host.finished]),
    end() {
      if (!isLent) acceptor.closeQueue();
      acceptor.takeQueue();
      close();
    },
    close,
    passed: () => acceptor.isOver ? undefined : { descriptor: fd, isLent },
    leave: () => void acceptor.close(),
  };
}

/** The socket that another process has left for this address, if it listens there. */
function takeReceived(
  address: SockAddr,
  { received, warn }: AcceptOptions,
): PassedListener | undefined {
  const found = received?.take();
  if (found === undefined) return undefined;
  const line = whyNotUsed(found, address);
  if (line === undefined) {
    prepareReceived(found.descriptor, { backlog: BACKLOG, userTimeoutMs: 0 });
    return found;
  }
  warn?.(line);
  if (found.isLent === true) received!.giveBack(found);
  else closeDescriptors([found.descriptor]);
}

/** A port that accepts from a listening socket which other threads share. */
export interface SharedPort extends ListeningPort {
  /** Looks for clients that another thread may have left in the queue. */
  look(): void;
  /** Accepts the clients that wait now, and no more: the others are another process's. */
  leave(): void;
}

/**
 * Accepts for `acceptee` from a listening socket that belongs to the main thread. `refuse` makes the kernel refuse
 * clients of it (`Libc.shutdown`); `isOurs` says whether no other process listens on it. Throws if it cannot be watched.
 */
export function acceptShared(
  host: EmbeddedLoop,
  { listener, address, refuse, isOurs, sharing }: {
    readonly listener: number;
    readonly address: Address;
    readonly refuse: (listener: number) => void;
    readonly isOurs: () => boolean;
    readonly sharing: Sharing;
  },
  acceptee: Acceptee,
  options: AcceptOptions,
): SharedPort {
  const acceptor = new LinuxAcceptor(host, listener, acceptee, options, sharing);
  const result = host.loop.watchShared(listener, acceptor);
  if (result < 0) throw new Error(`cannot watch the port: ${errnoWords(result)}`);
  acceptor.look();
  return {
    address,
    finished: Promise.race([acceptor.finished, host.finished]),
    look: () => acceptor.look(),
    end() {
      if (isOurs()) acceptor.closeQueue();
      acceptor.takeQueue();
      if (acceptor.close()) refuse(listener);
    },
    close() {
      if (acceptor.close()) refuse(listener);
    },
    leave() {
      if (acceptor.leave()) acceptor.takeWithinLimit();
    },
  };
}

async function sockaddrOf(address: Address): Promise<SockAddr | undefined> {
  const literal = literalSockaddr(address);
  if (literal !== undefined || address.kind === "unix") return literal;
  const [ip] = await systemLookUp(address.host);
  return ip === undefined ? undefined : ipSockaddr(ip, address.port);
}
