import { assert, assertEquals, assertMatch } from "@std/assert";
import { ManualClock } from "../base/clock.ts";
import { httpOf } from "../config/testing/config.ts";
import type { ProbeResult } from "../failover/ports.ts";
import { initialState } from "../failover/state.ts";
import { POLICY } from "../failover/testing/policy.ts";
import { unknownHealth } from "../failover/health.ts";
import { Deadlines } from "../net/deadlines.ts";
import { denoSockets } from "../net/deno/transport.ts";
import { checkedUpstreams, newPseudonym, probeOf, standIns, targetsOf } from "./http_checks.ts";

const clock = new ManualClock();
const deps = {
  ...{ clock, sockets: denoSockets, tls: {}, pseudonym: "failover-1" },
  deadlines: new Deadlines(clock),
};

Deno.test("upstreams are in rank order, and only servers can be forwarded to", () => {
  const config = httpOf([
    ...[
      "--primary",
      "http://a.example/base/",
      "--backup",
      "file:///srv",
      "--backup",
      "page:/sorry.html",
    ],
  ]);
  const all = checkedUpstreams(config, deps);
  assertEquals(targetsOf(config).map(({ kind }) => kind), ["url", "folder", "page"]);
  assertEquals(all.map(({ upstream: { rank } }) => rank), [0, 1, 2]);
  assertEquals(all.map(({ server }) => server !== undefined), [true, false, false]);
  const { server } = all[0]!;
  assertEquals([server!.origin, server!.basePath], ["http://a.example", "/base"]);
});

Deno.test("user and password of a URL become a header, with what they stand for", () => {
  const [primary] = checkedUpstreams(
    httpOf(["--primary", "http://ann:p%40ss@a.example", "--backup", "http://b.example"]),
    deps,
  );
  assertEquals(primary!.server!.rules.headers, [["Authorization", `Basic ${btoa("ann:p@ss")}`]]);
});

Deno.test("each upstream is checked by its own probe", async () => {
  const result = (reason: string): ProbeResult => ({
    ...{ passed: true, tookMs: 1, evidence: "passed" },
    reason,
  });
  const all = ["a", "b"].map((name, rank) => ({
    upstream: { name, rank, address: { kind: "tcp" as const, host: name, port: 1 } },
    probe: () => Promise.resolve(result(`by ${name}`)),
  }));
  const context = { lastChosen: undefined, phase: "serving", epoch: 1 } as const;
  const probe = probeOf(all);
  const { reason } = await probe(all[1]!.upstream, context, new AbortController().signal);
  assertEquals(reason, "by b");
});

Deno.test("an upstream that is down or drained stands in for nobody", () => {
  const upstreams = ["a", "b", "c", "d"].map((name, rank) => ({
    name,
    rank,
    address: { kind: "tcp" as const, host: name, port: 1 },
  }));
  const state = {
    ...initialState(upstreams, 0),
    health: new Map([
      ["a", { ...unknownHealth(0), level: 0 }],
      ["b", unknownHealth(0)],
      ["c", { ...unknownHealth(0), level: POLICY.rise + POLICY.fall - 1 }],
      ["d", { ...unknownHealth(0), level: POLICY.rise + POLICY.fall - 1 }],
    ]),
    drained: new Map([["d", { by: "ann", reason: "", since: 0 }]]),
  };
  assertEquals(standIns({ state, policy: POLICY }).map(({ name }) => name), ["b", "c"]);
});

Deno.test("no two services have the same name for Via", () => {
  assertMatch(newPseudonym(), /^failover-[0-9a-f]{8}$/);
  assert(newPseudonym() !== newPseudonym());
});
