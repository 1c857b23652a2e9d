/** The state folder of the process, open or not: one that takes over has none before it is ready. */
import { realClock } from "../base/clock.ts";
import type { Config } from "../config/options.ts";
import type { Publish } from "../events/events.ts";
import type { MemoryPort } from "../failover/memory.ts";
import { type InheritedState, StateFolder } from "../state/state.ts";

/** The folder of `--state-dir`, if there is to be one. Disposal writes what is not on disk yet. */
export class HeldState implements AsyncDisposable {
  readonly #config: Config;
  readonly #publish: Publish;
  #state: StateFolder | undefined;

  constructor(config: Config, publish: Publish) {
    this.#config = config;
    this.#publish = publish;
  }

  /** Where the folder is; undefined without `--state-dir`. */
  get folder(): string | undefined {
    return this.#config.process.stateDir;
  }

  /** Opens it if there is to be one. Resolves with error lines if it cannot be used. */
  async open(inherited?: InheritedState): Promise<readonly string[] | undefined> {
    const { services, process: { stateDir, origins } } = this.#config;
    if (stateDir === undefined) return undefined;
    const names = services.map(({ name }) => name);
    const ports = { clock: realClock, publish: this.#publish };
    const opened = await StateFolder.open(stateDir, names, ports, inherited);
    if (!(opened instanceof StateFolder)) {
      return opened.map((reason) =>
        `Cannot use the state folder ${reason} (option state_dir, from ${origins.stateDir})`
      );
    }
    this.#state = opened;
  }

  /** The memory of a service; undefined without a folder. */
  memory(service: string): MemoryPort | undefined {
    return this.#state?.memory(service);
  }

  /** A service comes. Resolves with an error line if what it remembers cannot be used. */
  async add(service: string): Promise<string | undefined> {
    const reason = await this.#state?.add(service);
    const { origins } = this.#config.process;
    if (reason === undefined) return undefined;
    return `Cannot use the state folder ${reason} (option state_dir, from ${origins.stateDir})`;
  }

  /** A service has ended, and this was its memory; its file stays. */
  async remove(service: string, memory = this.memory(service)): Promise<void> {
    await this.#state?.remove(service, memory);
  }

  /** Resolves when everything is on disk, or cannot be written. */
  async kept(): Promise<void> {
    await this.#state?.kept();
  }

  /** The folder is another process's now. */
  leave(): void {
    this.#state?.leave();
  }

  /** Names this process in the lock file. */
  async sign(): Promise<void> {
    await this.#state?.sign();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#state?.[Symbol.asyncDispose]();
  }
}
