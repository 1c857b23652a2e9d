/**
 * The accept loop of every listener of Deno's in this process: plain HTTP, HTTPS, the admin listener and the
 * portable TCP engine. Clients beyond the limit wait in the kernel's queue. In a shortage the loop pauses, each
 * time for longer; an error of a single connection causes no pause (`net/accept.ts`).
 */
import { sleep } from "../../base/clock.ts";
import { AcceptPauses, acceptVerdict } from "../accept.ts";
import type { Acceptee, AcceptOptions } from "../transport.ts";
import { denoConn, peerOf, tune } from "./conn.ts";
import { QueueEnd } from "./queue_end.ts";

/** The listener of an accept loop, and the receiver of its clients. */
export interface AcceptSource<C extends Deno.Conn> {
  /**
   * The listener to accept from, which may be another one each time; undefined ends the loop. If this throws,
   * the loop pauses as in a shortage and asks again.
   */
  listener(): { accept(): Promise<C> } | undefined;
  /** Undefined if another client may be accepted at once, else resolves when that may have changed. */
  room(): Promise<void> | undefined;
  /** Takes over a client. Must not throw. */
  taken(conn: C): void;
  /** Waits for at most `pauseMs` milliseconds. `isNews`: `error` should be reported. */
  pause(error: unknown, pauseMs: number, isNews: boolean): Promise<void>;
  /** The time, in milliseconds; decides which pauses are reported. */
  now(): number;
}

/** Accepts until the listener is closed and `source` has no other. Rejects only if `source` has a bug. */
export async function acceptAll<C extends Deno.Conn>(source: AcceptSource<C>): Promise<void> {
  const pauses = new AcceptPauses();
  const pause = (error: unknown) => {
    const { pauseMs, isNews } = pauses.next(source.now());
    return source.pause(error, pauseMs, isNews);
  };
  /** The listener that was found closed. Whether there is another one is asked before waiting for room. */
  let closed: unknown;
  for (;;) {
    const room = closed === undefined ? source.room() : undefined;
    if (room !== undefined) await room;
    let listener: ReturnType<AcceptSource<C>["listener"]>;
    try {
      listener = source.listener();
    } catch (error) {
      await pause(error);
      continue;
    }
    if (listener === undefined || listener === closed) return;
    if (closed !== undefined) {
      closed = undefined;
      continue;
    }
    let conn: C;
    try {
      conn = await listener.accept();
    } catch (error) {
      const verdict = acceptVerdict(error);
      if (verdict === "stop") closed = listener;
      else if (verdict === "wait") await pause(error);
      continue;
    }
    pauses.over();
    source.taken(conn);
  }
}

/**
 * Accepts for `acceptee` until `listener` is closed. Clients beyond its limit stay in the kernel's queue, until
 * the end of `queue` begins. Resolves when the listener is closed.
 */
export function serveListener(
  listener: Deno.Listener,
  acceptee: Acceptee,
  options: AcceptOptions,
  queue = new QueueEnd(options.clock, listener.addr, () => closeListener(listener)),
): Promise<void> {
  const { clock, onAcceptFailed, onShortage } = options;
  return acceptAll<Deno.Conn>({
    listener: () => listener,
    room: () => acceptee.hasRoom ? undefined : Promise.race([acceptee.room(), queue.begun]),
    taken: (conn) =>
      queue.admit(conn, () => void acceptee.serve(denoConn(tune(conn)), peerOf(conn))),
    pause(error, pauseMs, isNews) {
      if (isNews) onAcceptFailed?.(error, pauseMs);
      onShortage?.();
      return sleep(clock, pauseMs);
    },
    now: () => clock.now(),
  });
}

/** Closes a listener that may be closed already. */
export function closeListener(listener: { close(): void }): void {
  try {
    listener.close();
  } catch (error) {
    // Deno throws this for a listener that is closed already.
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}
