/**
 * Connects, with a deadline, and never leaks the connection that arrives too late. Everything that
 * dials out of the process by `Deno.connect` comes through here.
 *
 * A look-up of a name, and a connect to a unix socket, cannot be called off: they end by themselves
 * behind our back, and what they bring is closed.
 */
import type { Address } from "../base/address.ts";
import type { Clock } from "../base/clock.ts";
import { connectFault, Fault } from "../base/fault.ts";

/** What may end an attempt to connect before its time. */
export interface DialLimits {
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** Calls the attempt off. */
  readonly signal: AbortSignal;
}

/**
 * Connects to `address`. Resolves with the connection, which is then the caller's; with a `Fault`,
 * `connectTimeout` when time was up; with undefined when the signal came first. Never rejects.
 */
export function dial(address: Address, limits: DialLimits): Promise<Deno.Conn | Fault | undefined> {
  if (limits.signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => {
    let over = false;
    const socket = new AbortController();
    const end = (outcome: Deno.Conn | Fault | undefined) => {
      over = true;
      cancelDeadline();
      limits.signal.removeEventListener("abort", callOff);
      socket.abort();
      resolve(outcome);
    };
    const callOff = () => end(undefined);
    const timedOut = () => end(connectFault(undefined, true));
    const cancelDeadline = limits.clock.after(limits.timeoutMs, timedOut);
    limits.signal.addEventListener("abort", callOff, { once: true });
    open(address, socket.signal).then(
      (conn) => over ? conn.close() : end(conn),
      // An attempt that we ended fails with our own interruption, which is no news.
      (error) => over ? undefined : end(connectFault(error, false)),
    );
  });
}

function open(address: Address, signal: AbortSignal): Promise<Deno.Conn> {
  if (address.kind === "unix") return Deno.connect({ transport: "unix", path: address.path });
  // `Deno.connect` asks this once more when it already has the connection, and would throw it away
  // unclosed. Without an answer it hands the connection over and `dial` closes it.
  signal.throwIfAborted = () => {};
  return Deno.connect({
    hostname: address.host,
    port: address.port,
    // Racing address families is for names; a literal is one address.
    autoSelectFamily: !isLiteral(address.host),
    signal,
  });
}

function isLiteral(host: string): boolean {
  return host.includes(":") || /^\d+(\.\d+){3}$/.test(host);
}
