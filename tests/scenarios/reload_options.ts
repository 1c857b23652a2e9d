/** By option: how a reload that changes it is seen in the running process, or that it cannot change there. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import type { Key } from "../../src/config/options.ts";
import { waitForFile } from "../harness/folder.ts";
import type { FileOptions } from "../harness/reloaded.ts";
import { BIG } from "../harness/scripted_web.ts";
import { untilTrue } from "../harness/test_deadline.ts";
import { request, WebConnection } from "../harness/web_client.ts";
import {
  assertOtherConnections,
  endsAfter,
  fails,
  goesDown,
  isConnected,
  isRetried,
  isStatus,
  moves,
  sentBy,
  type Stage,
  twoClients,
} from "./reload_stage.ts";

/** Options of the service (`web`), and of the process, and how it is seen that they are in force. */
export interface Seen {
  readonly web?: (stage: Stage) => FileOptions | Promise<FileOptions>;
  readonly process?: (stage: Stage) => FileOptions | Promise<FileOptions>;
  readonly see: (stage: Stage) => Promise<unknown>;
}

/** Flags of two configs with which the machine must be told different things; that it obeys is tested with it. */
export interface Told {
  readonly flags: readonly string[];
  /** Flags of both configs. */
  readonly beside: readonly string[];
}

/** A test elsewhere, which is named: its file, and how its name begins. */
export type Proof = readonly [file: string, name: string];

export const FIXED = "fixed";
const COMMAND = "of the command line only";
export type Row = typeof FIXED | typeof COMMAND | Seen | Told | Proof;

const told = (flags: string, ...beside: readonly string[]): Told => ({
  flags: flags.split(" "),
  beside,
});

const HTTP_RELOADS = "tests/scenarios/reload_http_test.ts";
const TLS_RELOADS = "tests/scenarios/reload_tls_test.ts";
const RELAY = "src/relay/testing/contract_configure.ts";

export const ROWS: Readonly<Record<Key, Row>> = {
  hosts: ["tests/scenarios/reload_test.ts", "a reload with another list moves the traffic"],
  port: FIXED,
  bind: FIXED,
  sendProxy: [RELAY, "the next upstream connections begin with the PROXY header"],
  primary: {
    web: moves,
    see: async ({ proxy, two, index, ask }) => {
      await proxy.event("promotion.finished", { to: two.url }, { index });
      assertMatch((await ask()).text, /"two"/);
    },
  },
  backup: {
    web: () => ({ backup: ["http://127.0.0.1:9"] }),
    see: ({ proxy, index }) =>
      proxy.event("upstream.down", { upstream: "http://127.0.0.1:9" }, { index }),
  },
  listen: FIXED,
  tlsCert: [TLS_RELOADS, "another certificate"],
  tlsKey: [TLS_RELOADS, "another certificate"],
  redirectHttp: FIXED,
  hsts: [TLS_RELOADS, "another certificate"],
  clientCa: [TLS_RELOADS, "another certificate"],
  checkInterval: {
    web: () => ({ check_interval: "1h" }),
    see: async ({ one, reload }) => {
      await reload({ check_interval: "20ms", check_timeout: "20ms", check_path: "/often" });
      await one.isAsked("/often", 5);
    },
  },
  checkTimeout: {
    web: () => ({ check_path: "/never", check_timeout: "100ms" }),
    see: goesDown,
  },
  checkHost: {
    web: async ({ folder }) => ({ check_host: await folder.script("check", "touch checked") }),
    see: ({ folder }) => folder.has("checked"),
  },
  checkScriptTimeout: {
    web: async ({ folder }) => ({
      check_host: await folder.script("long", "exec sleep 20"),
      check_script_timeout: "200ms",
    }),
    see: goesDown,
  },
  checkPath: { web: () => ({ check_path: "/other" }), see: ({ one }) => one.isAsked("/other") },
  checkStatus: { web: () => ({ check_status: "404" }), see: goesDown },
  check: FIXED,
  checkUser: FIXED,
  checkPasswordFile: FIXED,
  checkTls: FIXED,
  checkCaFile: FIXED,
  maxLag: told("--max-lag 9s", "--check", "postgres", "--check-user", "u"),
  promote: FIXED,
  promoteTimeout: FIXED,
  failThreshold: told("--fail-threshold 9"),
  recoverThreshold: told("--recover-threshold 9"),
  onFailover: {
    web: async ({ folder, two }) => ({
      ...moves({ two }),
      on_failover: await folder.script("trigger", "touch triggered"),
    }),
    see: ({ folder }) => folder.has("triggered"),
  },
  triggerTimeout: {
    web: async ({ folder, two }) => ({
      ...moves({ two }),
      on_failover: await folder.script("stuck", "exec sleep 20"),
      trigger_timeout: "200ms",
    }),
    see: ({ proxy, index }) => proxy.event("trigger.failed", {}, { index }),
  },
  triggerMode: {
    web: async ({ folder, two }) => ({
      ...moves({ two }),
      on_failover: await folder.script("waits", waitForFile("go")),
      trigger_mode: "before",
      hold: "200ms",
    }),
    see: async ({ ask, folder }) => {
      assertEquals((await ask()).status, 503);
      await folder.write("go", "");
    },
  },
  onTriggerFailure: told("--on-trigger-failure retry"),
  maxBackoff: told("--max-backoff 9s"),
  failback: told("--failback auto"),
  failbackDamping: told("--failback-damping off"),
  hold: told("--hold 9s"),
  holdWhile: told("--hold-while down"),
  holdClients: [RELAY, "clients wait as long as the new settings say"],
  sessionsOnDown: told("--sessions-on-down keep"),
  sessionsOnMove: told("--sessions-on-move keep"),
  grace: told("--grace 9s"),
  connectTimeout: [RELAY, "other settings leave sessions"],
  idleTimeout: [RELAY, "an idle time that is set later"],
  relay: FIXED,
  acceptProxy: FIXED,
  maxConnectionsPerClient: {
    web: () => ({ max_connections_per_client: 1 }),
    see: (stage) =>
      twoClients(stage, () => stage.proxy.event("client.limited", {}, { index: stage.index })),
  },
  maxConnections: {
    web: () => ({ max_connections: 1 }),
    see: (stage) =>
      twoClients(stage, () => stage.proxy.event("limit.reached", {}, { index: stage.index })),
  },
  maxBody: {
    web: () => ({ max_body: "10B" }),
    see: isStatus({ method: "POST", body: "more than ten bytes" }, 413),
  },
  maxHead: {
    web: () => ({ max_head: "1KB" }),
    see: isStatus({ lines: [`x-long: ${"x".repeat(2_000)}`] }, 431),
  },
  headTimeout: {
    web: () => ({ head_timeout: "200ms" }),
    see: (stage) => endsAfter(stage, "GET / HTTP/1.1\r\nHost: a"),
  },
  bodyTimeout: {
    web: () => ({ body_timeout: "200ms" }),
    see: (stage) => endsAfter(stage, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"),
  },
  writeTimeout: {
    web: () => ({ write_timeout: "200ms" }),
    see: async ({ listen }) => {
      const connection = await WebConnection.to(listen);
      try {
        await connection.send({ target: "/big" });
        const { port } = connection.conn.socket.localAddr as Deno.NetAddr;
        const isGivenUp = () => !isConnected(Number(listen.split(":")[1]), port);
        await untilTrue("the end of a response that is not read", isGivenUp);
        const rest = await connection.conn.rest().catch(() => "");
        assert(rest.length < BIG);
      } finally {
        connection.close();
      }
    },
  },
  keepAliveTimeout: {
    web: () => ({ keep_alive_timeout: "200ms" }),
    see: (stage) => endsAfter(stage, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
  },
  upstreamKeep: { web: () => ({ upstream_keep: 0 }), see: assertOtherConnections },
  upstreamKeepIdle: {
    web: () => ({ upstream_keep_idle: "100ms", check_interval: "20s" }),
    see: assertOtherConnections,
  },
  upstreamKeepAge: { web: () => ({ upstream_keep_age: "100ms" }), see: assertOtherConnections },
  retryOn: {
    // Without another check, so that the threads know of the second upstream at once.
    web: () => ({ retry_on: ["503"], check_interval: "20s" }),
    see: isRetried,
  },
  responseTimeout: {
    web: () => ({ response_timeout: "200ms" }),
    see: isStatus({ target: "/never" }, 504),
  },
  responseIdleTimeout: {
    web: () => ({ response_idle_timeout: "200ms" }),
    see: ({ ask }) => assertRejects(() => ask({ target: "/drip" })),
  },
  preserveHost: {
    web: () => ({ preserve_host: true }),
    see: async (stage) => assertEquals((await sentBy(stage)).host, "site.example"),
  },
  allowTrace: {
    web: () => ({ allow_trace: true }),
    see: async ({ ask }) => assertNotEquals((await ask({ method: "TRACE" })).status, 405),
  },
  h2c: FIXED,
  caFile: [TLS_RELOADS, "another authority"],
  upstreamCert: [TLS_RELOADS, "another authority"],
  upstreamKey: [TLS_RELOADS, "another authority"],
  trustedProxies: {
    web: () => ({ trusted_proxies: ["127.0.0.0/8"] }),
    see: async (stage) => {
      const { "x-forwarded-for": client } = await sentBy(stage, {
        lines: ["X-Forwarded-For: 192.0.2.7"],
      });
      assertMatch(client!, /192\.0\.2\.7/);
    },
  },
  requestId: {
    web: () => ({ request_id: true }),
    see: async (stage) => assert((await sentBy(stage))["x-request-id"] !== undefined),
  },
  honourIdempotencyKey: {
    web: () => ({ honour_idempotency_key: true, retry_on: ["503"] }),
    see: (stage) => isRetried(stage, { method: "POST", lines: ["Idempotency-Key: 1"] }),
  },
  noFailoverHeader: {
    web: () => ({ no_failover_header: true }),
    see: async ({ ask }) => assertEquals((await ask()).headers.get("failover"), null),
  },
  errorPage: [HTTP_RELOADS, "error page and access log are read and opened anew"],
  coordinator: FIXED,
  coordinatorUser: FIXED,
  coordinatorPasswordFile: FIXED,
  coordinatorCa: FIXED,
  coordinatorCert: FIXED,
  coordinatorKey: FIXED,
  coordinatorLease: FIXED,
  withoutCoordinator: FIXED,
  webhookUrl: {
    process: ({ two }) => ({ webhook_url: `${two.url}/hook` }),
    web: fails,
    see: ({ two }) => two.isAsked("/hook"),
  },
  webhookFormat: {
    process: ({ two }) => ({ webhook_url: `${two.url}/slack`, webhook_format: "slack" }),
    web: fails,
    see: async ({ two }) => assert("text" in JSON.parse((await two.isAsked("/slack")).body)),
  },
  admin: FIXED,
  publicState: {
    process: () => ({ public_state: "full" }),
    see: isStatus({ target: "/__failover/state" }, 200),
  },
  adminHosts: {
    process: () => ({ admin_hosts: ["proxy.example"] }),
    see: async ({ admin }) => {
      const sent = { target: "/__failover/state", lines: ["Host: proxy.example"] };
      assertEquals((await request(admin, sent)).status, 200);
    },
  },
  adminTokenFile: {
    process: async ({ folder }) => ({ admin_token_file: await folder.write("token", "secret") }),
    see: async ({ admin }) => {
      const target = "/__failover/reload?dry_run=true";
      const sent = {
        method: "POST",
        target,
        lines: ["Host: 127.0.0.1", "Authorization: Bearer secret"],
      };
      assertEquals((await request(admin, sent)).status, 200);
    },
  },
  control: FIXED,
  accessLog: [HTTP_RELOADS, "error page and access log are read and opened anew"],
  accessLogFormat: [HTTP_RELOADS, "error page and access log are read and opened anew"],
  jsonLogs: {
    process: () => ({ json_logs: false }),
    see: ({ proxy }) => proxy.line(/^[^{].*config/i),
  },
  logLevel: {
    process: () => ({ log_level: "error" }),
    web: moves,
    see: async ({ proxy, ask }) => {
      // Lines from before may still be on their way.
      const since = new Date().toISOString();
      const isMoved = async () => (await ask()).text.includes('"two"');
      await untilTrue("the other upstream", isMoved, proxy.lastLines);
      const later = (line: string) => line.startsWith("{") && JSON.parse(line).time >= since;
      assertEquals(proxy.log.filter(later), []);
    },
  },
  workers: FIXED,
  name: FIXED,
  drainDelay: [
    "tests/scenarios/reload_options_test.ts",
    "the times of the end are those of the last reload",
  ],
  drainTimeout: [
    "tests/scenarios/reload_options_test.ts",
    "the times of the end are those of the last reload",
  ],
  socketMode: FIXED,
  stateDir: FIXED,
  scriptsDir: {
    process: async ({ folder }) => {
      await folder.script("scripts/check-host.sh", "touch from_the_folder");
      return { scripts_dir: folder.at("scripts") };
    },
    see: ({ folder }) => folder.has("from_the_folder"),
  },
  config: COMMAND,
  checkConfig: COMMAND,
  printConfig: COMMAND,
  generate: COMMAND,
  help: COMMAND,
  version: COMMAND,
};
