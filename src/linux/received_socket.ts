/**
 * Listening sockets that this process did not open itself: it got their descriptors from the process before it, or from
 * systemd (sd_listen_fds(3)).
 */
import type { SockAddr } from "./kernel.ts";
import { closeLibc, openLibc } from "./open_libc.ts";
import { endpointOf, isIpv6 } from "./sockaddr.ts";

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;
const FD_CLOEXEC = 1;
const O_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_KEEPALIVE = 9;
const SO_ACCEPTCONN = 30;
const SOCK_STREAM = 1;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_USER_TIMEOUT = 18;

/** As `Libc.keepAlive`. */
const KEEP_ALIVE = [[SOL_SOCKET, SO_KEEPALIVE, 1], [IPPROTO_TCP, TCP_KEEPIDLE, 60], [
  IPPROTO_TCP,
  TCP_KEEPINTVL,
  10,
]] as const;

/** What the sockets that a listening socket accepts inherit, and the length of its queue (`ListenOptions`). */
export interface ReceivedOptions {
  readonly backlog: number;
  readonly userTimeoutMs: number;
}

/** Where this descriptor listens; undefined if it is no listening stream socket (getsockname(2)). */
export function listensAt(fd: number): SockAddr | undefined {
  const { getsockname, getsockopt } = openLibc();
  try {
    const [value, length] = [new Int32Array(1), new Uint32Array(1)];
    const optionOf = (name: number) => {
      length[0] = 4;
      return getsockopt(fd, SOL_SOCKET, name, value, length) === 0 ? value[0] : undefined;
    };
    if (optionOf(SO_ACCEPTCONN) !== 1 || optionOf(SO_TYPE) !== SOCK_STREAM) return undefined;
    const address = new Uint8Array(128);
    length[0] = address.length;
    if (getsockname(fd, address, length) !== 0) return undefined;
    return address.slice(0, Math.min(length[0], address.length));
  } finally {
    closeLibc();
  }
}

/**
 * True if a socket that listens at `found` is what a bind to `asked` gives: any port where 0 was asked for, and all
 * addresses of IPv4 where all of IPv6 were, as on a system without it.
 */
export function isListeningFor(found: SockAddr, asked: SockAddr): boolean {
  const [is, wanted] = [endpointOf(found), endpointOf(asked)];
  if (wanted.kind === "unix") return is.kind === "unix" && is.path === wanted.path;
  if (is.kind === "unix") return false;
  if (wanted.port !== 0 && is.port !== wanted.port) return false;
  const isAny = isIpv6(asked) && wanted.ip === "::" && !isIpv6(found) && is.ip === "0.0.0.0";
  return isAny || (isIpv6(found) === isIpv6(asked) && is.ip === wanted.ip);
}

/** No program that is started gets this descriptor (FD_CLOEXEC, fcntl(2)). */
export function keepFromPrograms(fd: number): void {
  const { fcntl } = openLibc();
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  closeLibc();
}

/**
 * Makes a listening socket behave as one that this process has opened: accepting from it never blocks, no program that
 * is started gets it, and the sockets that it accepts have our options.
 */
export function prepareReceived(fd: number, { backlog, userTimeoutMs }: ReceivedOptions): void {
  const { fcntl, listen, setsockopt } = openLibc();
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL, 0) | O_NONBLOCK);
  // Called again, listen(2) changes the length of the queue only.
  listen(fd, backlog);
  const value = new Int32Array(1);
  const options: (readonly [number, number, number])[] = [
    [IPPROTO_TCP, TCP_NODELAY, 1],
    ...KEEP_ALIVE,
    [IPPROTO_TCP, TCP_USER_TIMEOUT, userTimeoutMs],
  ];
  // On a unix socket those of TCP fail, and are not needed.
  for (const [level, name, to] of options) {
    value[0] = to;
    setsockopt(fd, level, name, value, 4);
  }
  closeLibc();
}
