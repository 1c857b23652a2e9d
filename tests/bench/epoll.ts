/** What the clients of the benchmark share: the relay's own loop over epoll, woken by exact timers. */
import { Libc } from "../../src/linux/libc.ts";
import { Loop } from "../../src/linux/loop.ts";
import { ipSockaddr } from "../../src/linux/sockaddr.ts";

const CLOCK_MONOTONIC = 1;
const TFD_NONBLOCK = 0o4000;
const IPPROTO_TCP = 6;
const TCP_INFO = 11;
/** Offset of `tcpi_last_ack_recv` in `struct tcp_info` (linux/tcp.h). */
const LAST_ACK_RECEIVED = 56;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;

export const libc = new Libc();
export const loop = new Loop(libc);

const c = Deno.dlopen("libc.so.6", {
  getsockopt: { parameters: ["i32", "i32", "i32", "buffer", "buffer"], result: "i32" }, // int fd, int, int, void *, socklen_t *
  recv: { parameters: ["i32", "pointer", "usize", "i32"], result: "isize" }, // int, void *, size_t, int flags
  timerfd_create: { parameters: ["i32", "i32"], result: "i32" }, // int clock, int flags
  timerfd_settime: { parameters: ["i32", "i32", "buffer", "pointer"], result: "i32" }, // int, int, const itimerspec*, itimerspec*
});

/** A socket that begins to connect to 127.0.0.1. */
export function connectTo(port: number): number {
  return checked(libc.connect(ipSockaddr("127.0.0.1", port)!, { userTimeoutMs: 0 }));
}

/** Sends the whole of a few bytes. */
export function sendAll(fd: number, bytes: Uint8Array<ArrayBuffer>): void {
  if (checked(libc.send(fd, bytes, 0, bytes.length)) !== bytes.length) {
    throw new Error("A connection accepted only a part of a request");
  }
}

/**
 * Drops up to `max` bytes that have arrived, without copying them (MSG_TRUNC, tcp(7)), so that a client of bulk
 * streams needs little CPU time. Returns their number, 0 at the end, or a negated error number.
 */
export function drop(fd: number, max: number): number {
  const dropped = Number(c.symbols.recv(fd, null, BigInt(max), MSG_TRUNC | MSG_DONTWAIT));
  // A failed call has its reason only in errno; the next call of `libc` fails for the same reason.
  return dropped >= 0 ? dropped : libc.receive(fd);
}

const info = new DataView(new ArrayBuffer(104));
const infoLength = new Uint32Array(1);

/** How long ago the last packet of a connection arrived, in milliseconds; a multiple of the kernel's jiffy. */
export function sinceLastPacketMs(fd: number): number {
  infoLength[0] = info.byteLength;
  if (c.symbols.getsockopt(fd, IPPROTO_TCP, TCP_INFO, info.buffer, infoLength) !== 0) {
    throw new Error("TCP_INFO cannot be read");
  }
  return info.getUint32(LAST_ACK_RECEIVED, true);
}

/** Calls `ready` each `ms` milliseconds by a timerfd(2), exact to some 10 µs. */
export function each(ms: number, ready: () => void): void {
  const fd = checked(c.symbols.timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
  const nanoseconds = BigInt(Math.floor(ms * 1e6));
  const time = [nanoseconds / 1_000_000_000n, nanoseconds % 1_000_000_000n];
  const spec = new BigInt64Array([...time, ...time]); // interval, first: seconds and nanoseconds
  checked(c.symbols.timerfd_settime(fd, 0, spec, null));
  checked(loop.watch(fd, {
    ready() {
      libc.settle(fd); // a timer that is not read does not continue (timerfd_create(2))
      ready();
    },
  }));
}

/** Runs the loop until `isDone`; throws after `timeoutMs`. */
export function runUntil(isDone: () => boolean, timeoutMs: number, what: () => string): void {
  const deadline = performance.now() + timeoutMs;
  while (!isDone()) {
    loop.tick();
    if (performance.now() > deadline) throw new Error(`Not done in time: ${what()}`);
  }
}

/** A result of the kernel that is not an error. */
export function checked(result: number): number {
  if (result < 0) throw new Error(`A call failed with error ${-result}`);
  return result;
}

/** Length in bytes of the whole answer to `request`. */
export async function lengthOfAnswer(
  port: number,
  request: Uint8Array<ArrayBuffer>,
): Promise<number> {
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  await conn.write(request);
  const buffer = new Uint8Array(4_096);
  const length = await conn.read(buffer);
  if (!new TextDecoder().decode(buffer).startsWith("HTTP/1.1 200")) throw new Error("No answer");
  return length!;
}
