/**
 * Every option of the table at a reload: it is in force in the running process, or it is refused by name. A new option
 * needs a row here, or does not compile.
 */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { unusedPort } from "../../src/base/testing/ports.ts";
import { policyOf } from "../../src/app/control_parts.ts";
import { type Key, KEYS, optionOf, yamlKeyOf } from "../../src/config/options.ts";
import { tcpOf } from "../../src/config/testing/config.ts";
import { Folder, waitForFile } from "../harness/folder.ts";
import { type FileOptions, type ReloadedProxy, startReloaded } from "../harness/reloaded.ts";
import { BIG, ScriptedWeb } from "../harness/scripted_web.ts";
import { untilTrue, withTestDeadline } from "../harness/test_deadline.ts";
import { type Reply, request, type Sent, WebConnection } from "../harness/web_client.ts";

/** What a row sees the process with. */
interface Stage {
  readonly proxy: ReloadedProxy;
  readonly listen: string;
  readonly admin: string;
  readonly one: ScriptedWeb;
  readonly two: ScriptedWeb;
  readonly folder: Folder;
  /** The number of lines of the log before the reload. */
  readonly index: number;
  ask(sent?: Partial<Sent>): Promise<Reply>;
  /** Another reload, with these options of the service. */
  reload(web: FileOptions): Promise<void>;
}

/** Options of the service, and of the process with a capital `P`, and how it is seen that they are in force. */
interface Seen {
  readonly web?: (stage: Stage) => FileOptions | Promise<FileOptions>;
  readonly process?: (stage: Stage) => FileOptions | Promise<FileOptions>;
  readonly see: (stage: Stage) => Promise<unknown>;
}

/** Flags of two configs with which the machine must be told different things; that it obeys is tested with it. */
interface Told {
  readonly flags: readonly string[];
  /** Flags of both configs. */
  readonly beside: readonly string[];
}

/** A test elsewhere, which is named: its file, and how its name begins. */
type Proof = readonly [file: string, name: string];

const FIXED = "fixed";
const COMMAND = "of the command line only";
type Row = typeof FIXED | typeof COMMAND | Seen | Told | Proof;

const told = (flags: string, ...beside: readonly string[]): Told => ({
  flags: flags.split(" "),
  beside,
});

/** The first upstream is removed, so that there is a failover to the second one. */
const moves = ({ two }: Pick<Stage, "two">): FileOptions => ({
  primary: two.url,
  backup: ["http://127.0.0.1:9"],
});
/** The first upstream is one that is down, so that there is a failover that people are told of. */
const fails = ({ two }: Stage): FileOptions => ({
  primary: "http://127.0.0.1:9",
  backup: [two.url],
});
/** Resolves when an upstream is down after the reload. */
const goesDown = ({ proxy, index }: Stage) =>
  proxy.event("upstream.down", { service: "web" }, { index });

/** The port from which the proxy asked. */
const portOf = async ({ ask }: Stage) => JSON.parse((await ask()).text).port as number;
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const assertOtherConnections = async (stage: Stage) => {
  const first = await portOf(stage);
  const other = async () => {
    // Each request keeps the connection, so that it has time to be idle before the next one.
    do await pause(1_200); while (await portOf(stage) === first);
  };
  await withTestDeadline("another connection", other(), stage.proxy.lastLines);
};
const sentBy = async ({ ask }: Stage, sent: Partial<Sent> = {}) =>
  JSON.parse((await ask(sent)).text).sent as Record<string, string>;
const isStatus = (sent: Partial<Sent>, status: number) => async ({ ask }: Stage) =>
  assertEquals((await ask(sent)).status, status);

/** Sends this much of a request; resolves when the proxy has ended the connection. */
async function endsAfter({ listen }: Stage, text: string): Promise<void> {
  const connection = await WebConnection.to(listen);
  try {
    await connection.conn.send(new TextEncoder().encode(text));
    await connection.conn.rest();
  } finally {
    connection.close();
  }
}

/** Whether the end of a connection at port `here` is established, which is seen without reading (proc_net_tcp(5)). */
function isConnected(here: number, there: number): boolean {
  const end = (port: number) => `0100007F:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  return Deno.readTextFileSync("/proc/net/tcp").includes(` ${end(here)} ${end(there)} 01 `);
}

/** Two clients at the same time. */
async function twoClients({ listen }: Stage, see: () => Promise<unknown>): Promise<void> {
  const connections = [await WebConnection.to(listen), await WebConnection.to(listen)];
  try {
    await see();
  } finally {
    for (const connection of connections) connection.close();
  }
}

const HTTP_RELOADS = "tests/scenarios/reload_http_test.ts";
const TLS_RELOADS = "tests/scenarios/reload_tls_test.ts";
const RELAY = "src/relay/testing/contract_configure.ts";

const ROWS: Readonly<Record<Key, Row>> = {
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

/** A request that the first upstream answers with 503 is sent to the other one. */
async function isRetried(stage: Stage, sent: Partial<Sent> = {}): Promise<void> {
  await stage.ask({ ...sent, target: "/503" });
  await stage.two.isAsked("/503");
}

/** Options without which some rows would have to wait. */
const BASE: FileOptions = {
  fail_threshold: 1,
  failback_damping: "off",
  // Clients that nobody has counted cannot be limited one by one.
  max_connections_per_client: 100,
};

const isSeen = (row: Row): row is Seen => typeof row === "object" && "see" in row;

Deno.test("every option that can change in place is in force in the running process after a reload", async (t) => {
  await using folder = await Folder.make();
  await using one = new ScriptedWeb("one");
  await using two = new ScriptedWeb("two");
  const [listen, admin] = [`127.0.0.1:${unusedPort()}`, `127.0.0.1:${unusedPort()}`];
  const textOf = (web: FileOptions = {}, process: FileOptions = {}): FileOptions => ({
    admin,
    ...process,
    services: { web: { ...BASE, primary: one.url, backup: [two.url], listen, ...web } },
  });
  await using proxy = await startReloaded(textOf());
  await proxy.event("promotion.finished");
  const ask = (sent: Partial<Sent> = {}) =>
    request(listen, { target: "/", ...sent }, proxy.lastLines);
  const isAsAtFirst = async () => {
    const { upstreams } = await proxy.state() as unknown as {
      upstreams: readonly { readonly verdict: string; readonly active: boolean }[];
    };
    return upstreams.every(({ verdict }) => verdict === "up") && upstreams[0]!.active;
  };
  for (const key of KEYS) {
    const row = ROWS[key];
    if (!isSeen(row)) continue;
    await t.step(yamlKeyOf(key), async () => {
      assertEquals((await proxy.reload(textOf())).code, 0);
      await untilTrue("the first state", isAsAtFirst, proxy.lastLines);
      one.forget();
      two.forget();
      const reload = async (web?: FileOptions, process?: FileOptions) => {
        const { code, err } = await proxy.reload(textOf(web, process));
        assertEquals([code, err], [0, ""]);
      };
      const index = proxy.log.length - 1;
      const stage = { proxy, listen, admin, one, two, folder, ask, reload, index };
      await reload(await row.web?.(stage), await row.process?.(stage));
      await row.see(stage);
    });
  }
});

Deno.test("the machine is told of every option that is a part of its policy", () => {
  const context = { instance: "i", drainMs: 1 };
  const parts = { triggers: "before", failOpen: false } as const;
  for (const key of KEYS) {
    const row = ROWS[key];
    if (typeof row === "string" || !("flags" in row)) continue;
    const policy = (...flags: readonly string[]) =>
      policyOf(
        tcpOf(["--hosts", "a:1", "--bind", "127.0.0.1:9", ...row.beside, ...flags]),
        parts,
        context,
      );
    assertNotEquals(policy(...row.flags), policy(), key);
  }
});

Deno.test("the tests that are named for options exist", async () => {
  for (const key of KEYS) {
    const row = ROWS[key];
    if (!Array.isArray(row)) continue;
    const [file, name] = row as Proof;
    const text = await Deno.readTextFile(new URL(`../../${file}`, import.meta.url));
    assert(text.includes(name), `${key}: ${file} has no test ${name}`);
  }
});

Deno.test("an option is fixed in the table if its row says so", () => {
  for (const key of KEYS) assertEquals(optionOf(key).fixed !== undefined, ROWS[key] === FIXED, key);
});

Deno.test("the times of the end are those of the last reload", async () => {
  await using one = new ScriptedWeb("one");
  const listen = `127.0.0.1:${unusedPort()}`;
  const services = { web: { primary: one.url, listen } };
  await using proxy = await startReloaded({ services });
  await proxy.event("promotion.finished");
  const times = { drain_delay: "6s", drain_timeout: "300ms" };
  assertEquals((await proxy.reload({ ...times, services })).code, 0);
  const connection = await WebConnection.to(listen);
  try {
    const from = Date.now();
    const stopping = proxy.stop();
    const ready = { target: "/__failover/ready" };
    const isStopping = async () => (await request(listen, ready)).status === 503;
    await untilTrue("the end to begin", isStopping, proxy.lastLines);
    assertEquals((await request(listen, { target: "/" }, proxy.lastLines)).status, 200);
    await connection.send({ target: "/drip" });
    await stopping;
    const tookMs = Date.now() - from;
    assert(tookMs >= 6_000, `${tookMs} ms`);
    const { drainMs } = await proxy.event("proxy.stopping");
    assertEquals(drainMs, 300);
  } finally {
    connection.close();
  }
});
