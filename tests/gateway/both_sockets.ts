/** Runs a test of the gateway on each kind of sockets: a client must see the same on both. */
import { denoSockets } from "../../src/net/deno/transport.ts";
import type { Sockets } from "../../src/net/transport.ts";
import { realClock } from "../../src/base/clock.ts";
import { linuxSockets } from "../../src/net/linux/transport.ts";
import { type Engine, scenario } from "../harness/scenario.ts";
import { GatewayFixture, type GatewayFixtureOptions } from "./gateway_fixture.ts";

export const SOCKETS: Readonly<Record<Engine, () => Sockets>> = {
  stream: () => denoSockets,
  splice: () => linuxSockets(realClock),
};

export interface OnSockets {
  /** A gateway on sockets of this kind. */
  start(ports: readonly number[], options?: GatewayFixtureOptions): Promise<GatewayFixture>;
  /** How a connection that was cut ends for its client: Deno's sockets cannot send a reset. */
  readonly cut: "ended" | "reset";
}

/** Runs `run` once for each kind of sockets, and once more on each with `GatewayFixture.ask` over HTTP/2. */
export function onBothProtocols(
  name: string,
  run: (reported: OnSockets) => Promise<void>,
  needs: readonly string[] = [],
): void {
  onBothSockets(name, run, needs);
  const overHttp2 = (reported: OnSockets) =>
    run({
      ...reported,
      start: (ports, options) => reported.start(ports, { protocol: "HTTP/2", ...options }),
    });
  onBothSockets(`over HTTP/2: ${name}`, overHttp2, needs);
}

/** Runs `run` once for each kind of sockets that this system has. */
export function onBothSockets(
  name: string,
  run: (reported: OnSockets) => Promise<void>,
  needs: readonly string[] = [],
): void {
  scenario(name, ({ relay }) =>
    run({
      start: (ports, options) =>
        GatewayFixture.start(ports, { sockets: SOCKETS[relay], ...options }),
      cut: relay === "splice" ? "reset" : "ended",
    }), needs);
}
