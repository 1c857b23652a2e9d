import { assertEquals, assertStringIncludes } from "@std/assert";
import {
  exitCodeOf,
  processText,
  servicesOf,
  type ServiceState,
  statusText,
  type UpstreamState,
} from "./report.ts";

const NOW = 1_000_000;

function upstream(name: string, rank: number, more: Partial<UpstreamState> = {}): UpstreamState {
  return {
    ...{ name, rank, active: rank === 0, verdict: "up", since_unix: NOW / 1_000 - 65 },
    drained: null,
    last_results: [{ reason: "connected", time: "" }],
    what_would_change_it: "a run of 3 failed checks brings it down",
    ...more,
  };
}

function service(more: Partial<ServiceState> = {}): ServiceState {
  return {
    ...{ service: "orders", mode: "tcp", phase: "serving", active: "a:1", candidate: null },
    ...{ admission: "open", since_unix: NOW / 1_000 - 5, epoch: 3 },
    ...{ paused: null, held_by_order: null, pinned: null, counters: { active: 2, held: 1 } },
    upstreams: [upstream("a:1", 0), upstream("b:1", 1)],
    ...more,
  };
}

const inForce = { since_unix: NOW / 1_000 - 60, by: "ann (uid 7, pid 9)", reason: "new disk" };

Deno.test("a service that serves is described by a sentence, with every upstream", () => {
  assertEquals(statusText([service()], NOW).split("\n"), [
    "orders (tcp): a:1 serves (rank 0, epoch 3), for 5s",
    "  * a:1  up for 1m5s      connected [active]; a run of 3 failed checks brings it down",
    "    b:1  up for 1m5s      connected; a run of 3 failed checks brings it down",
    "  ready: b:1 could take over",
    "  2 sessions, 1 held, 0 lost since the start",
  ]);
});

Deno.test("the last reload stands below the services, and a refused one in capitals", () => {
  const unix = NOW / 1_000;
  const last = {
    time_unix: unix - 60,
    by: "SIGHUP",
    changes: ["x", "y"],
    errors: ["Bad x", "Bad y"],
  };
  const lineFor = (outcome?: string, changes: readonly string[] = last.changes) => {
    const last_reload = outcome === undefined ? null : { ...last, outcome, changes };
    const config = { hash: "abc", read_unix: unix - 3_600, last_reload };
    const text = processText({ ...service(), config }, NOW);
    return text.split("\n\n").slice(1).join();
  };
  assertEquals(lineFor(), "");
  assertEquals(lineFor("applied"), "last reload 1m ago, by SIGHUP: 2 changes");
  assertEquals(lineFor("unchanged", []), "last reload 1m ago, by SIGHUP: nothing has changed");
  assertEquals(
    lineFor("refused"),
    "RELOAD REFUSED 1m ago, by SIGHUP: Bad x (and 1 more); the config of 1h ago is in force",
  );
  // An earlier version says nothing of it.
  assertEquals(processText({ ...service() }, NOW), statusText([service()], NOW));
});

Deno.test("orders in force are printed in capitals", () => {
  const upstreams = [upstream("a:1", 0), upstream("b:1", 1, { drained: inForce })];
  const text = statusText([
    service({ paused: inForce, held_by_order: inForce, pinned: "a:1", upstreams }),
  ], NOW);
  assertStringIncludes(text, "\n  PAUSED for 1m by ann (uid 7, pid 9) (new disk): no automatic");
  assertStringIncludes(text, "\n  HELD for 1m by ann (uid 7, pid 9) (new disk): new clients wait");
  assertStringIncludes(text, "\n  moved to a:1 by order");
  assertStringIncludes(text, "[drained by ann (uid 7, pid 9)]");
  assertStringIncludes(text, "\n  NOT READY: paused, so no failover begins by itself");
});

const CUT_OFF = {
  ...{ instance: "p1", role: "cut_off" as const, leader: null, coordinator_trouble: "no answer" },
  ...{ lease_left_ms: 0, proxies: [] },
};

Deno.test("a service without an upstream says what happens to clients", () => {
  const down = { active: null, phase: "waiting" };
  const text = (more: Partial<ServiceState>) => statusText([service({ ...down, ...more })], NOW);
  assertStringIncludes(
    text({ admission: "holding" }),
    "NOT SERVING (waiting), new clients are held",
  );
  assertStringIncludes(text({ admission: "closed" }), "new clients are refused");
  assertStringIncludes(text({ admission: "open" }), "NO UPSTREAM IS UP, clients are let through");
  // Its upstreams may all be up.
  const cutOff = text({ admission: "open", cluster: CUT_OFF });
  assertStringIncludes(cutOff, "NO UPSTREAM IS CHOSEN without etcd, clients are let through");
  assertStringIncludes(
    cutOff,
    ": the last decision, if it is known, is served, nothing is promoted",
  );
  const one = { ...CUT_OFF, proxies: [{ instance: "p1", differs: null }] };
  const leads = text({ cluster: { ...one, role: "leads", lease_left_ms: 6_900 } });
  assertStringIncludes(leads, "\n  cluster: leads 1 proxy, lease 6s\n");
  assertStringIncludes(text({ candidate: "b:1" }), "moving to b:1 (epoch 3)");
});

Deno.test("the exit code is that of the service in the worst state", () => {
  const upstreams = [upstream("a:1", 0, { active: false }), upstream("b:1", 1, { active: true })];
  const onBackup = service({ active: "b:1", upstreams });
  const out = service({ active: null });
  const pausedDown = service({ upstreams: [upstream("a:1", 0, { verdict: "down" })] });
  assertEquals(exitCodeOf([service()]), 0);
  assertEquals(exitCodeOf([service(), onBackup]), 1);
  assertEquals(exitCodeOf([onBackup, out]), 2);
  assertEquals(exitCodeOf([pausedDown]), 2);
  assertEquals(exitCodeOf([service({ admission: "holding" })]), 2);
});

Deno.test("one service is read from a flat object, several from a list", () => {
  const one = { ...service() };
  assertEquals(servicesOf(one), [service()]);
  assertEquals(servicesOf({ version: "1", services: [one, one] }).length, 2);
});

Deno.test("a standby shows its lag, and a server that may not be chosen why", () => {
  const server = { role: "standby", lag_bytes: 1_536, lag_seconds: 2 } as const;
  const with1 = (more: Partial<UpstreamState>) =>
    statusText([service({ upstreams: [upstream("a:1", 0), upstream("b:1", 1, more)] })], NOW);
  assertStringIncludes(with1({ server, barred: null }), "connected, 1.5KB and 2s behind; a run");
  const barred = { kind: "stale", reason: "it takes writes, but a:1 was chosen last" };
  const text = with1({ barred });
  assertStringIncludes(text, "MAY NOT BE CHOSEN: it takes writes, but a:1 was chosen last; a run");
  assertStringIncludes(text, "NOT READY: no other upstream could take over");
  const waits = { kind: "waits", reason: "it is a standby, and nothing here promotes it" };
  assertStringIncludes(with1({ barred: waits }), "ready: b:1 could take over");
});
