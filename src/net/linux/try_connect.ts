/**
 * Whether somebody accepts connections at an IP address, asked on a socket of the kernel from a thread that has no
 * loop of ours. A connect to the same machine, and often to a near one, has ended when connect(2) returns, so that
 * most checks need neither epoll nor a promise of Deno's: half the CPU time of `Deno.connect`.
 */
import type { Clock } from "../../base/clock.ts";
import { endAfter } from "../../base/deadline.ts";
import { Fault } from "../../base/fault.ts";
import type { Kernel, SockAddr } from "../../linux/kernel.ts";
import { literalSockaddr } from "../../linux/sockaddr.ts";
import type { DialLimits } from "../deno/dial.ts";
import { type TryConnect, tryConnectByDeno } from "../try_connect.ts";
import { connectFailure } from "./dial.ts";

/** The first and the longest pause between two looks at a socket that still connects, in milliseconds. */
const LOOK_FIRST_MS = 1;
const LOOK_MAX_MS = 50;
/** A pause is at least this part of the time so far, so that the time it took is known to a quarter. */
const LOOK_PART = 1 / 4;

type Outcome = "connected" | Fault | undefined;

/** Addresses with a name, and unix sockets, are left to Deno. `clock` is that of the pauses between looks. */
export function linuxTryConnect(kernel: Kernel, clock: Clock): TryConnect {
  return (address, limits) => {
    const target = address.kind === "tcp" ? literalSockaddr(address) : undefined;
    if (target === undefined) return tryConnectByDeno(address, limits);
    if (limits.signal.aborted) return Promise.resolve(undefined);
    const fd = kernel.connect(target, { userTimeoutMs: 0, keepAliveLater: true });
    if (fd < 0) return Promise.resolve(connectFailure(fd));
    const outcome = outcomeOf(kernel, fd, target);
    if (outcome === undefined) return wait(kernel, fd, target, limits, clock);
    kernel.close(fd);
    return Promise.resolve(outcome);
  };
}

/** Undefined while it still connects. */
function outcomeOf(kernel: Kernel, fd: number, target: SockAddr): Outcome {
  // Only a connected socket has a peer (getpeername(2)).
  if (kernel.peerAddress(fd).length > 0) {
    if (!kernel.isItsOwnPeer(fd, target)) return "connected";
    return new Fault("connectRefused", "nobody listens there");
  }
  const error = kernel.takeError(fd);
  return error < 0 ? connectFailure(error) : undefined;
}

function wait(
  kernel: Kernel,
  fd: number,
  target: SockAddr,
  { clock: deadlines, timeoutMs, signal }: DialLimits,
  clock: Clock,
): Promise<Outcome> {
  const startedAt = clock.now();
  return new Promise((resolve) => {
    const end = (outcome: Outcome) => {
      cancelLook();
      cancelDeadline();
      kernel.close(fd);
      resolve(outcome);
    };
    const look = () => {
      const outcome = outcomeOf(kernel, fd, target);
      if (outcome !== undefined) return end(outcome);
      const pauseMs = LOOK_FIRST_MS + (clock.now() - startedAt) * LOOK_PART;
      cancelLook = clock.after(Math.min(pauseMs, LOOK_MAX_MS), look);
    };
    let cancelLook = clock.after(LOOK_FIRST_MS, look);
    const cancelDeadline = endAfter(signal, timeoutMs, deadlines, (cause) => {
      end(cause === "late" ? new Fault("connectTimeout") : undefined);
    });
  });
}
