/** One relay engine and nothing else, for the benchmark: `relay_main.ts ENGINE PORT UPSTREAM_PORT`. */
import { realClock } from "../../src/base/clock.ts";
import { EngineUnavailable } from "../../src/relay/engine.ts";
import { type EngineChoice, startRelay } from "../../src/relay/relay.ts";

const [engine, port, upstreamPort] = Deno.args;
const here = (text: string | undefined) =>
  ({ kind: "tcp", host: "127.0.0.1", port: Number(text) }) as const;

const relay = startRelay(engine as EngineChoice, {
  bind: here(port),
  connectTimeoutMs: 3_000,
  idleTimeoutMs: 3_600_000,
  holdMs: 10_000,
  heldMax: 1_000,
  connectionsMax: 8_192,
  workers: 1,
  sendProxy: "none",
}, { clock: realClock, publish: () => {}, doubt: () => {} });
if (relay instanceof EngineUnavailable) {
  console.error(`The engine "${engine}" cannot run: ${relay.reason}`);
  Deno.exit(2);
}
await relay.open({ name: "upstream", address: here(upstreamPort), rank: 0 }, 1);
await relay.finished;
