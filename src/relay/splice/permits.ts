/** How many clients one thread may have: in all, waiting, and of one client, with a permit for each. */
import { LimitWatch } from "../../base/limit_watch.ts";
import type { Semaphore } from "../../base/semaphore.ts";
import type { Event } from "../../events/events.ts";
import type { Loop } from "../../linux/loop.ts";
import type { ClientLimit } from "../../net/client_limit.ts";
import type { ProxiedAddresses } from "../../net/proxy_protocol.ts";
import type { SharedCounters } from "../../threads/memory.ts";
import type { RelaySettings } from "../engine.ts";
import { clientLimitOf, hostOf, UNCOUNTED } from "./clients.ts";

/** What the permits of a thread need. */
export interface PermitsParts {
  readonly loop: Loop;
  readonly counters: SharedCounters;
  /** Limits all clients of the service, and those of them that wait. */
  readonly connections: Semaphore;
  readonly held: Semaphore;
}

/** The permits of one service in one thread. */
export class Permits {
  readonly #loop: Loop;
  readonly #connections: Semaphore;
  readonly #held: Semaphore;
  readonly #clientLimit: ClientLimit | undefined;
  readonly #connectionsWatch: LimitWatch;
  readonly #heldWatch: LimitWatch;
  /** False where no client may wait. */
  #mayWait: boolean;

  constructor(parts: PermitsParts, settings: RelaySettings, publish: (event: Event) => void) {
    this.#loop = parts.loop;
    this.#connections = parts.connections;
    this.#held = parts.held;
    this.#mayWait = settings.heldMax > 0;
    const watchLimit = (limit: string, max: number) =>
      new LimitWatch(max, (max) => publish({ type: "limit.reached", limit, max }));
    this.#clientLimit = clientLimitOf(settings.clientTables, parts, publish);
    this.#connectionsWatch = watchLimit("connections", settings.connectionsMax);
    this.#heldWatch = watchLimit("held", settings.heldMax);
  }

  /** Other limits are in force from now on; the semaphores have them already. */
  configure({ connectionsMax, heldMax, clientTables }: RelaySettings): void {
    this.#mayWait = heldMax > 0;
    this.#connectionsWatch.setMax(connectionsMax);
    this.#heldWatch.setMax(heldMax);
    if (clientTables !== undefined) this.#clientLimit?.setMax(clientTables.max);
  }

  /** Takes a permit for a client, and one for a client that waits, as the next one may have to. */
  acquire(): boolean {
    const { now } = this.#loop;
    const has = this.#connections.tryAcquire();
    this.#connectionsWatch.isReached(this.#connections.acquired - (has ? 1 : 0), now);
    if (!has) return false;
    // Where no client may wait, there is no limit to reach: those that would have to wait are closed.
    if (!this.#mayWait) return true;
    const mayWait = this.#held.tryAcquire();
    this.#heldWatch.isReached(this.#held.acquired - (mayWait ? 1 : 0), now);
    if (!mayWait) this.#connections.release();
    return mayWait;
  }

  /** Takes a permit for a client that exists already, whatever the limit. */
  acquireAnyway(): void {
    this.#connections.acquireAnyway();
  }

  /** Takes the permit to wait that a client has given back while its header was to come. */
  acquireWait(): void {
    if (this.#mayWait) this.#held.acquireAnyway();
  }

  /** Gives both permits of `acquire` back. */
  giveBack(): void {
    this.#connections.release();
    this.releaseWait();
  }

  /** Gives the permit to wait back. */
  releaseWait(): void {
    if (this.#mayWait) this.#held.release();
  }

  /** Gives the permit of a client back. */
  release(): void {
    this.#connections.release();
  }

  /** The place of a client among those that are counted; undefined if it must be turned away. */
  placeFor(client: number, addresses: ProxiedAddresses | undefined): number | undefined {
    if (this.#clientLimit === undefined) return UNCOUNTED;
    const named = addresses?.client;
    const { kernel } = this.#loop;
    const host = named?.kind === "tcp" ? named.host : hostOf(kernel.peerAddress(client));
    return this.#clientLimit.enter(host);
  }

  /** Gives a place back. */
  leave(place: number): void {
    this.#clientLimit?.leave(place);
  }
}
