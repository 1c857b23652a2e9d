/** Compares the layouts of `libc.ts` with the kernel's. */
import { EAGAIN, errnoWords, isShortageErrno } from "./errno.ts";
import { FAILED, READABLE } from "./kernel.ts";
import type { Libc } from "./libc.ts";
import { endpointOf, ipSockaddr } from "./sockaddr.ts";

/** Throws what differs, or what this machine lacks for the comparison. Leaves nothing open. */
export function selfTest(libc: Libc): void {
  const woken = libc.eventfd();
  const listener = libc.listen(ipSockaddr("127.0.0.1", 0)!, { backlog: 1, userTimeoutMs: 0 });
  try {
    succeeded(listener);
    const local = endpointOf(libc.localAddress(listener));
    check(local.kind === "ip" && local.ip === "127.0.0.1" && local.port > 0, "sockaddr_in");
    const nobody = libc.accept(listener);
    if (nobody !== -EAGAIN) succeeded(nobody);
    check(nobody === -EAGAIN, "errno");
    succeeded(libc.watch(woken, 0x1234_5678));
    libc.wake(woken);
    check(libc.poll(0) === 1, "epoll_wait");
    const flags = libc.eventFlags(0);
    check((flags & READABLE) !== 0 && (flags & FAILED) === 0, "epoll_event.events");
    check(libc.eventFd(0) === woken && libc.eventMark(0) === 0x1234_5678, "epoll_event.data");
  } finally {
    libc.close(woken);
    if (listener >= 0) libc.close(listener);
  }
}

/** `result`: of a call, a negated error number if it failed. */
function succeeded(result: number): void {
  // A shortage says nothing about the library.
  if (isShortageErrno(result)) throw new Error(errnoWords(result));
  check(result >= 0, `a call failed: ${errnoWords(result)}`);
}

function check(holds: boolean, what: string): void {
  if (!holds) throw new Error(`libc is not what we take it for: ${what}`);
}
