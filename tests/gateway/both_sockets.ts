/**
 * Runs a story of the gateway on each kind of sockets, over HTTP/1.1 and over HTTP/2: a client must see the same
 * each time.
 */
import { denoSockets } from "../../src/net/deno/transport.ts";
import type { Sockets } from "../../src/net/transport.ts";
import { realClock } from "../../src/base/clock.ts";
import { linuxSockets } from "../../src/net/linux/transport.ts";
import { type Engine, scenario } from "../harness/scenario.ts";
import { GatewayFixture, type GatewayFixtureOptions } from "./gateway_fixture.ts";
import type { Protocol } from "./story_client.ts";

export const SOCKETS: Readonly<Record<Engine, () => Sockets>> = {
  stream: () => denoSockets,
  splice: () => linuxSockets(realClock),
};

export interface OnSockets {
  /** The kind of sockets, as `--relay` names it. */
  readonly relay: Engine;
  /** What clients speak; `GatewayFixture.client` and `GatewayFixture.ask` do. */
  readonly protocol: Protocol;
  /** A gateway on sockets of this kind. */
  start(ports: readonly number[], options?: GatewayFixtureOptions): Promise<GatewayFixture>;
  /** How an exchange that was cut ends for its client: Deno's sockets cannot send a reset, HTTP/2 resets a stream. */
  readonly cut: "ended" | "reset";
}

/** Runs `run` once for each kind of sockets and each protocol. */
export function onBothProtocols(
  name: string,
  run: (reported: OnSockets) => Promise<void>,
  needs: readonly string[] = [],
): void {
  on("HTTP/1.1", name, run, needs);
  on("HTTP/2", `over HTTP/2: ${name}`, run, needs);
}

/** Runs `run` once for each kind of sockets that this system has. */
export function onBothSockets(
  name: string,
  run: (reported: OnSockets) => Promise<void>,
  needs: readonly string[] = [],
): void {
  on("HTTP/1.1", name, run, needs);
}

function on(
  protocol: Protocol,
  name: string,
  run: (reported: OnSockets) => Promise<void>,
  needs: readonly string[],
): void {
  scenario(name, ({ relay }) =>
    run({
      relay,
      protocol,
      start: (ports, options) =>
        GatewayFixture.start(ports, { sockets: SOCKETS[relay], protocol, ...options }),
      cut: protocol === "HTTP/2" || relay === "splice" ? "reset" : "ended",
    }), needs);
}
