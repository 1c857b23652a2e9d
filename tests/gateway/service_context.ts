/** What a service needs from the process, for tests that start one in this process. */
import { realClock } from "../../src/base/clock.ts";
import { ProcessMemory } from "../../src/app/process_memory.ts";
import type { ServiceContext } from "../../src/app/service.ts";

/** Without state, triggers and other services; `parts` are what the test has to say about. */
export function serviceContext(
  parts:
    & Pick<
      ServiceContext,
      "publish" | "programs" | "threads" | "connectionsMax" | "drainMs" | "publicEndpoints"
    >
    & Partial<ServiceContext>,
): ServiceContext {
  return {
    clock: realClock,
    coarseClock: realClock,
    observer: { begin() {}, setPace() {}, step() {} },
    memory: new ProcessMemory(),
    triggerWarnings: [],
    socketMode: 0o666,
    instance: "test",
    ...parts,
  };
}
