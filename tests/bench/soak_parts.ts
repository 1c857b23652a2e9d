/** The parts of a soak test other than plain sessions. */
import { connect } from "node:net";
import { Folder } from "../harness/folder.ts";
import type { Proxy } from "../harness/proxy.ts";
import { ask, pause, ToggledUpstream, until, type Wanted } from "./soak_fixture.ts";

export interface Part {
  readonly title: string;
  /** The settings of the proxy; scripts are written into `folder`. */
  wants(folder: Folder): Promise<Omit<Wanted, "mode" | "relay">>;
  /** How often it is done for the count, after a fifth as often to warm up. */
  readonly rounds: number;
  round(
    proxy: Proxy,
    upstreams: readonly [ToggledUpstream, ToggledUpstream],
    number: number,
  ): Promise<void>;
}

/** Clients at once in a round. */
const CLIENTS = 10;
/** Descriptors of a process at its limit, and idle clients that use them up. */
const DESCRIPTORS = 96;
const IDLE = 150;

function many(address: string, count = CLIENTS): Promise<unknown> {
  return Promise.all(Array.from({ length: count }, () => ask(address)));
}

/** The active upstream goes down, clients get the other one, and the first comes back. */
async function failover(
  proxy: Proxy,
  [first, second]: readonly [ToggledUpstream, ToggledUpstream],
) {
  await many(proxy.address);
  await first.gone();
  await many(proxy.address);
  await until(proxy.address, second.says);
  await first.back();
  await pause(150); // until it is seen to be up
  await second.gone();
  await until(proxy.address, first.says);
  await second.back();
  await pause(150);
}

export const PARTS: Readonly<Record<string, Part>> = {
  failovers: {
    title: "failovers there and back, with clients",
    wants: () => Promise.resolve({}),
    rounds: 60,
    round: failover,
  },
  flaps: {
    title: "flaps of both upstreams, with clients",
    wants: () => Promise.resolve({ flags: { hold: "1s" } }),
    rounds: 1_000,
    async round(proxy, upstreams, number) {
      const upstream = upstreams[number % 2]!;
      const asking = many(proxy.address);
      await upstream.gone();
      await pause(20);
      await upstream.back();
      await asking;
    },
  },
  names: {
    title: "failovers between upstreams that have names",
    wants: () => Promise.resolve({ host: "localhost" }),
    rounds: 40,
    round: failover,
  },
  scripts: {
    title: "failovers with a check program that talks and a trigger",
    async wants(folder) {
      const check = await folder.script("check", "echo looking at $1; sleep 0.01 & exit 0");
      const trigger = await folder.script("trigger", "seq 100; sleep 0.01 & exit 1");
      return { flags: { "check-host": check, "on-failover": trigger } };
    },
    rounds: 30,
    round: failover,
  },
  descriptors: {
    title: `bursts of ${IDLE} idle clients on ${DESCRIPTORS} descriptors`,
    wants: () => Promise.resolve({ under: ["prlimit", `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`] }),
    rounds: 20,
    async round(proxy) {
      const port = Number(proxy.address.slice(proxy.address.lastIndexOf(":") + 1));
      const idle = Array.from({ length: IDLE }, () => {
        const socket = connect({ host: "127.0.0.1", port });
        socket.on("error", () => {});
        return socket;
      });
      await pause(300);
      const asking = many(proxy.address, 3);
      await pause(200);
      for (const socket of idle) socket.destroy();
      await asking;
    },
  },
};
