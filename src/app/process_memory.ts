/** The memory of services for as long as the process runs, so that a service can be restarted within it. */
import type { Memory, MemoryPort } from "../failover/memory.ts";

/** The memory of one service. */
export class ProcessMemory implements MemoryPort {
  remembered: Memory | undefined;

  /** `inherited`: what the process before this one remembered. */
  constructor(inherited?: Memory) {
    this.remembered = inherited;
  }

  keep(memory: Memory): void {
    this.remembered = memory;
  }

  kept(): Promise<void> {
    return Promise.resolve();
  }
}
