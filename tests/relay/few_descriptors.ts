/**
 * A relay in a separate process, for tests with few descriptors: `few_descriptors.ts ENGINE PORT`. It
 * serves the upstream at PORT until its input ends. It prints its port, and at the end its results, as
 * lines of JSON.
 */
import { realClock } from "../../src/base/clock.ts";
import type { Event } from "../../src/events/events.ts";
import type { Doubt } from "../../src/failover/ports.ts";
import { EngineUnavailable, type RelayCounters } from "../../src/relay/engine.ts";
import { startRelay } from "../../src/relay/relay.ts";
import { spliceRelay } from "../../src/relay/splice/testing/alone.ts";
import { SETTINGS, until } from "../../src/relay/testing/relay_fixture.ts";

/** Its results. */
export interface Seen {
  readonly events: readonly Event[];
  readonly doubts: readonly Doubt[];
  readonly counters: RelayCounters;
}

if (import.meta.main) {
  const [engine, port] = Deno.args;
  // As the proxy does: Deno opens two descriptors for signals, by itself a moment after its start, and ends the
  // process if it cannot.
  Deno.addSignalListener("SIGTERM", () => {});
  const events: Event[] = [];
  const doubts: Doubt[] = [];
  const relay = startRelay(engine as "splice" | "stream", { ...SETTINGS, holdMs: 60_000 }, {
    clock: realClock,
    publish: (event) => events.push(event),
    doubt: (doubt) => doubts.push(doubt),
  }, spliceRelay);
  if (relay instanceof EngineUnavailable) throw new Error(relay.reason);
  const address = { kind: "tcp", host: "127.0.0.1", port: Number(port) } as const;
  await relay.open({ name: "a", address, rank: 0 }, 1);
  const opened = () => events.find((event) => event.type === "port.opened");
  await until("the port is open", () => opened() !== undefined);
  console.log(JSON.stringify(opened()));
  await Deno.stdin.read(new Uint8Array(1));
  console.log(JSON.stringify({ events, doubts, counters: relay.counters() } satisfies Seen));
  await relay[Symbol.asyncDispose]();
  Deno.exit(0);
}
