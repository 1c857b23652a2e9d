/**
 * How a new process takes over from the running one (`failover upgrade`), as seen from the new one. It has the
 * listening sockets from the beginning, the memory of the services when it is ready, and begins when the old process
 * says so. `upgrade/` has the protocol. Part of the composition root.
 */
import { realClock } from "../base/clock.ts";
import type { Publish } from "../events/events.ts";
import type { Memory } from "../failover/memory.ts";
import { closeDescriptors } from "../linux/pass_descriptors.ts";
import type { ReceivedListeners } from "../net/handover.ts";
import { memoryFrom } from "../state/memory_text.ts";
import type { InheritedState } from "../state/state.ts";
import { type Inheritance, type Takeover, TakeoverFailed } from "../upgrade/takeover.ts";
import type { Supervisor } from "./supervisor.ts";

/** What a process has from the one before it. */
export class Inherited {
  readonly listeners: ReceivedListeners;
  /** Resolves when the services may accept clients and decide. */
  readonly mayBegin: Promise<void>;
  readonly #begin = Promise.withResolvers<void>();
  readonly #takeover: Takeover;
  readonly #inheritance: Inheritance;
  readonly #names: { from: string; fromPid: number; to: string; toPid: number };
  #memories: ReadonlyMap<string, Memory> = new Map();

  /** The options are right: gets the listening sockets. Throws `TakeoverFailed`. */
  static async from(takeover: Takeover, version: string): Promise<Inherited> {
    return new Inherited(takeover, await takeover.hello(), version);
  }

  private constructor(takeover: Takeover, inheritance: Inheritance, version: string) {
    const { version: from, pid: fromPid } = inheritance;
    this.#names = { from, fromPid, to: version, toPid: Deno.pid };
    this.#takeover = takeover;
    this.#inheritance = inheritance;
    this.listeners = inheritance.listeners;
    this.mayBegin = this.#begin.promise;
  }

  /**
   * Everything that can fail has been done. Resolves with what `StateFolder.open` needs, when the old process decides
   * nothing any more. Throws `TakeoverFailed`.
   */
  async memories(stateDir: string | undefined): Promise<InheritedState> {
    const texts = await this.#takeover.ready();
    const memories = new Map<string, Memory>();
    for (const [service, text] of texts) {
      const memory = memoryFrom(service, text, realClock);
      if (typeof memory === "string") {
        throw new TakeoverFailed([`what service ${service} remembers cannot be read: ${memory}`]);
      }
      memories.set(service, memory);
    }
    this.#memories = memories;
    const { stateLock } = this.#inheritance;
    const close = () => stateLock && closeDescriptors([stateLock.descriptor]);
    if (stateLock?.folder === stateDir) return { memories, lock: { close } };
    close();
    return { memories };
  }

  /** What a service remembers; undefined for one that is new. */
  memory(service: string): Memory | undefined {
    return this.#memories.get(service);
  }

  /**
   * The services are there and wait. Resolves when they have begun, since the old process decides no more; or with an
   * error line, if it goes on.
   */
  async begin(services: readonly Supervisor[], publish: Publish): Promise<string | undefined> {
    try {
      await this.#takeover.took();
    } catch (error) {
      if (!(error instanceof TakeoverFailed)) throw error;
      return `Cannot take over: ${error.lines.join("; ")}`;
    }
    this.#begin.resolve();
    // Addresses that are no longer in the options.
    closeDescriptors(this.listeners.takeRest().map(({ descriptor }) => descriptor));
    void this.#takeConnections(services, publish);
    publish({ type: "upgrade.tookOver", ...this.#names });
  }

  /** Takes the connections that the old process passes on, until that one ends. */
  async #takeConnections(services: readonly Supervisor[], publish: Publish): Promise<void> {
    const connections = await this.#takeover.receiveConnections((name, parcel) =>
      services.find(({ view }) => view.name === name)?.receive(parcel)
    );
    this.#takeover[Symbol.dispose]();
    publish({ type: "upgrade.finished", ...this.#names, connections });
  }
}
