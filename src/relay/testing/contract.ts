/**
 * What every relay engine must do, as tests on real loopback sockets. An engine's own test file calls
 * `relayContract("stream", makeRelay)` once; no engine owns these tests.
 * They run on the real clock (an engine may live in a worker), with short times, and assert no timing.
 */
import { bytesContract } from "./contract_bytes.ts";
import { configureContract } from "./contract_configure.ts";
import { limitsContract } from "./contract_limits.ts";
import { ordersContract } from "./contract_orders.ts";
import { sessionsContract } from "./contract_sessions.ts";
import { waitingContract } from "./contract_waiting.ts";
import type { MakeRelay } from "./relay_fixture.ts";

/** Registers the whole contract under the name of the engine. */
export function relayContract(name: string, make: MakeRelay): void {
  ordersContract(name, make);
  sessionsContract(name, make);
  bytesContract(name, make);
  limitsContract(name, make);
  waitingContract(name, make);
  configureContract(name, make);
}
