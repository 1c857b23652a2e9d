/** The memory of services for as long as the process runs, so that a service can be restarted within it. */
import type { Memory, MemoryPort } from "../failover/memory.ts";

/** The memory of one service. */
export class ProcessMemory implements MemoryPort {
  remembered: Memory | undefined;

  keep(memory: Memory): void {
    this.remembered = memory;
  }

  kept(): Promise<void> {
    return Promise.resolve();
  }
}
