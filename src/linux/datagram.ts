/** Datagrams to a unix socket (unix(7)), each sent by itself. */
import { closeLibc, openLibc } from "./open_libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const NONBLOCK = 0o4000;
const CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
/** Bytes of a name in `struct sockaddr_un`. */
const NAME_MAX = 108;

/** The socket address of a path, or of a name without a file, which begins with `@`; undefined if it is too long. */
export function datagramSockaddr(place: string): Uint8Array<ArrayBuffer> | undefined {
  const name = new TextEncoder().encode(place);
  const isAbstract = place.startsWith("@");
  // A path ends with a NUL; a name without a file begins with one, and ends where the address does.
  if (name.length > (isAbstract ? NAME_MAX : NAME_MAX - 1)) return undefined;
  const bytes = new Uint8Array(2 + name.length + (isAbstract ? 0 : 1));
  bytes[0] = AF_UNIX;
  bytes.set(name, 2);
  if (isAbstract) bytes[2] = 0;
  return bytes;
}

/** Sends one datagram. Never waits. Returns 0 or a negated error number: -EAGAIN if the receiver's queue is full. */
export function sendDatagram(
  address: Uint8Array<ArrayBuffer>,
  bytes: Uint8Array<ArrayBuffer>,
): number {
  const { __errno_location, socket, connect, send, close } = openLibc();
  const errno = new Int32Array(Deno.UnsafePointerView.getArrayBuffer(__errno_location()!, 4));
  try {
    const fd = socket(AF_UNIX, SOCK_DGRAM | NONBLOCK | CLOEXEC, 0);
    if (fd === -1) return -errno[0]!;
    let result = connect(fd, address, address.length);
    if (result !== -1) result = send(fd, bytes, bytes.length, MSG_NOSIGNAL);
    const error = result === -1 ? -errno[0]! : 0;
    close(fd);
    return error;
  } finally {
    closeLibc();
  }
}
