/**
 * One HTTP service: its gateway, checks, triggers and controller, joined. Part of the composition root;
 * all it knows is who needs whom, and in which order they start and end.
 */
import type { ServiceView } from "./admin/view.ts";
import { formatAddress } from "./base/address.ts";
import type { Clock } from "./base/clock.ts";
import type { Target, UrlTarget } from "./config/http_kinds.ts";
import type { HttpConfig } from "./config/options.ts";
import type { Publish } from "./events/events.ts";
import { Controller } from "./failover/controller.ts";
import { isDown } from "./failover/health.ts";
import { History } from "./failover/history.ts";
import type { Probe, Triggers } from "./failover/ports.ts";
import type { Policy } from "./failover/state.ts";
import type { Upstream } from "./failover/upstream.ts";
import { DEFAULT_PAGE, type ErrorPage } from "./gateway/answers.ts";
import { Gateway } from "./gateway/gateway.ts";
import { requestRules } from "./gateway/headers.ts";
import { listen, type Listening, type ListenSettings, tryListen } from "./gateway/listen.ts";
import { folderBackup, pageBackup, staticProbe } from "./gateway/static.ts";
import type { GatewayUpstream } from "./gateway/upstream.ts";
import { allOf } from "./health/all_of.ts";
import { Checker } from "./health/checker.ts";
import { type HttpCheck, httpProbe } from "./health/http.ts";
import { scriptProbe } from "./hooks/check.ts";
import { KILL_GRACE_MS, type Programs } from "./hooks/program.ts";
import { ProgramTriggers } from "./hooks/trigger.ts";
import { dialer } from "./http1/conn_deno.ts";
import { Deadlines } from "./http1/deadlines.ts";
import { Pool } from "./http1/pool.ts";
import type { Service, ServiceContext, Starter } from "./service.ts";

/** Time between two checks while a verdict is in doubt. */
const DOUBT_MS = 500;
/** What a probe may take beyond its own deadlines before it counts as broken: more than a kill takes. */
const PROBE_SLACK_MS = 2 * KILL_GRACE_MS + 1_000;

/** What an HTTP service can do beyond a TCP one. */
export interface HttpServiceContext extends ServiceContext {
  /** Answers `/__failover/*` on the main port, but for `health`. */
  readonly admin?: { fetch(request: Request): Response | Promise<Response> };
}

export interface HttpService extends Service {
  /** What the operator's window may look at. */
  readonly view: ServiceView;
}

export function httpStarter(config: HttpConfig): Starter {
  return {
    listenOption: "listen",
    listensOn: formatAddress(config.listen),
    tryListen: () => Promise.resolve(tryListen(config.listen)),
    start: (context) => start(config, context),
  };
}

/** What the operator named by path, read before anything starts. */
interface Files {
  readonly caCerts: readonly string[] | undefined;
  readonly errorPage: ErrorPage;
  readonly tls: ListenSettings["tls"];
}

/** Builds the service and lets it begin. Its port is open from now on; requests wait for an upstream. */
export async function start(
  config: HttpConfig,
  context: HttpServiceContext,
): Promise<HttpService | string> {
  const files = await readFiles(config);
  if (typeof files === "string") return files;
  const { clock, publish, programs, instance } = context;
  const deadlines = new Deadlines(clock);
  const targets: readonly Target[] = [config.primary, ...config.backup ?? []];
  const ways = targets.map((target, rank) => wayTo(target, rank, config, files, clock, deadlines));
  const upstreams = ways.map(({ upstream }) => upstream);
  const history = new History(upstreams, clock);
  const gateway = new Gateway(gatewaySettings(config, files.errorPage), {
    clock,
    deadlines,
    publish,
    upstreams: new Map(ways.map((way) => [way.upstream.name, way])),
    doubt: (doubt) => controller.post({ type: "doubted", doubt }),
    others: () => standIns(config, controller, policy),
    ...(context.admin === undefined ? {} : { admin: context.admin }),
  });
  let listening: Listening;
  try {
    const { listen: address, maxConnections: connectionsMax } = config;
    const settings = { address, connectionsMax, tls: files.tls };
    listening = listen(settings, { clock, deadlines, publish, app: gateway.fetch });
  } catch (error) {
    // The address was tried out before, so it is mostly the certificate.
    return `Cannot serve ${formatAddress(config.listen)}: ${
      error instanceof Error ? error.message : error
    }`;
  }
  const checker = new Checker({
    upstreams,
    probe: probeOf(targets, ways, config, programs, clock, publish),
    intervalMs: config.checkInterval,
    doubtMs: DOUBT_MS,
    probeMaxMs: config.checkTimeout + config.checkScriptTimeout + PROBE_SLACK_MS,
  }, {
    clock,
    random: Math.random,
    context: () => {
      const { lastChosen, phase, epoch } = controller.state;
      return { lastChosen, phase: phase.name, epoch };
    },
    post: (upstream, result) => {
      history.add(upstream, result);
      controller.post({ type: "probed", upstream, result });
    },
  });
  const policy = policyOf(config, instance);
  const controller: Controller = new Controller(upstreams, policy, {
    clock,
    publish,
    plane: gateway,
    checks: checker,
    triggers: triggersOf(config, programs, publish, context.triggerWarnings),
  });
  controller.post({ type: "begun" });
  const failback = () => controller.post({ type: "failbackOrdered" });
  return {
    name: config.name,
    finished: Promise.race([listening.finished, controller.finished, checker.finished]),
    orderFailback: failback,
    view: {
      name: config.name,
      mode: "http",
      policy,
      state: () => controller.state,
      history: (upstream) => history.of(upstream),
      counters: () => gateway.counters(),
      failback,
    },
    async stop(drainMs, now) {
      await checker[Symbol.asyncDispose]();
      await controller[Symbol.asyncDispose]();
      // Nobody decides any more, so whoever waits for a decision waits in vain.
      await gateway.refuse();
      const cut = await listening.stop(drainMs, now);
      gateway[Symbol.dispose]();
      return cut;
    },
  };
}

async function readFiles(config: HttpConfig): Promise<Files | string> {
  const failed: string[] = [];
  const read = async (option: "caFile" | "errorPage" | "tlsCert" | "tlsKey") => {
    const path = config[option];
    if (path === undefined) return undefined;
    try {
      return await Deno.readFile(path);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      failed.push(`Cannot read ${path}: ${why} (from ${config.origins[option]})`);
    }
  };
  const text = (bytes: Uint8Array | undefined) =>
    bytes === undefined ? undefined : new TextDecoder().decode(bytes);
  const ca = text(await read("caFile"));
  const page = await read("errorPage");
  const [cert, key] = [text(await read("tlsCert")), text(await read("tlsKey"))];
  if (failed.length > 0) return failed.join("\n");
  if ((config.tlsCert === undefined) !== (config.tlsKey === undefined)) {
    return "Cannot serve HTTPS with only one of --tls-cert and --tls-key";
  }
  const isHtml = /\.html?$/i.test(config.errorPage ?? "");
  const contentType = `text/${isHtml ? "html" : "plain"}; charset=utf-8`;
  return {
    caCerts: ca === undefined ? undefined : [ca],
    errorPage: page === undefined ? DEFAULT_PAGE : { contentType, bytes: page },
    tls: cert === undefined || key === undefined ? undefined : {
      certPath: config.tlsCert!,
      keyPath: config.tlsKey!,
      cert,
      key,
    },
  };
}

function gatewaySettings(config: HttpConfig, errorPage: ErrorPage) {
  return {
    holdMs: config.hold,
    heldMax: config.holdClients,
    responseTimeoutMs: config.responseTimeout,
    idleTimeoutMs: config.idleTimeout,
    bodyMax: config.maxBody,
    honourIdempotencyKey: config.honourIdempotencyKey,
    failoverHeader: !config.noFailoverHeader,
    errorPage,
  };
}

function wayTo(
  target: Target,
  rank: number,
  config: HttpConfig,
  files: Files,
  clock: Clock,
  deadlines: Deadlines,
): GatewayUpstream {
  const { name } = target;
  if (target.kind !== "url") {
    const { kind, path } = target;
    const respond = kind === "folder" ? folderBackup(path) : pageBackup(path);
    return { kind: "static", upstream: { name, rank, address: { kind: "unix", path } }, respond };
  }
  const { url, host, address } = target;
  return {
    kind: "server",
    upstream: { name, rank, address },
    origin: url.origin,
    basePath: url.pathname.replace(/\/+$/, ""),
    pool: new Pool({
      dial: dialOf(target, config.connectTimeout, files, clock),
      deadlines,
      bodyMs: config.idleTimeout,
    }),
    rules: requestRules(url.host, {
      host,
      preserveHost: config.preserveHost,
      headers: headersOf(target),
    }),
  };
}

function dialOf({ url, address }: UrlTarget, connectMs: number, files: Files, clock: Clock) {
  if (address.kind !== "tcp") throw new Error("an HTTP upstream without a port");
  const tls = url.protocol !== "https:"
    ? {}
    : { tls: files.caCerts === undefined ? {} : { caCerts: files.caCerts } };
  return dialer({ hostname: address.host, port: address.port, clock, connectMs, ...tls });
}

/** The operator's headers; user and password of the URL become one, unless there is one already. */
function headersOf({ url, headers }: UrlTarget): UrlTarget["headers"] {
  const hasOwn = headers.some(([name]) => name.toLowerCase() === "authorization");
  if (hasOwn || (url.username === "" && url.password === "")) return headers;
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  const utf8 = String.fromCharCode(...new TextEncoder().encode(pair));
  return [...headers, ["Authorization", `Basic ${btoa(utf8)}`]];
}

function probeOf(
  targets: readonly Target[],
  ways: readonly GatewayUpstream[],
  config: HttpConfig,
  programs: Programs,
  clock: Clock,
  publish: Publish,
): Probe {
  const checks = new Map<string, HttpCheck>();
  const statics = new Map<string, Probe>();
  targets.forEach((target, i) => {
    const way = ways[i]!;
    if (target.kind !== "url") {
      statics.set(target.name, staticProbe(target.kind, target.path, clock));
    } else if (way.kind === "server") {
      checks.set(target.name, {
        pool: way.pool,
        target: config.checkPath ?? target.url.pathname,
        host: target.host ?? target.url.host,
        headers: headersOf(target),
      });
    }
  });
  const settings = { timeoutMs: config.checkTimeout, statuses: config.checkStatus };
  const asks = httpProbe(settings, (name) => checks.get(name)!, clock);
  const byKind: Probe = (upstream, context, signal) =>
    (statics.get(upstream.name) ?? asks)(upstream, context, signal);
  if (config.checkHost === undefined) return byKind;
  return allOf(
    byKind,
    scriptProbe(
      { path: config.checkHost, timeoutMs: config.checkScriptTimeout, service: config.name },
      programs,
      publish,
    ),
  );
}

/** Who may stand in for one exchange before a switch is decided: nobody, if the switch waits for triggers. */
function standIns(config: HttpConfig, controller: Controller, policy: Policy): readonly Upstream[] {
  if (config.triggerMode === "before" && config.onFailover !== undefined) return [];
  const { upstreams, health } = controller.state;
  return upstreams.filter(({ name }) => !isDown(health.get(name)!, policy));
}

function triggersOf(
  config: HttpConfig,
  programs: Programs,
  publish: Publish,
  warnings: readonly string[],
): Triggers {
  if (config.onFailover === undefined) return { run: () => Promise.resolve() };
  const settings = {
    path: config.onFailover,
    timeoutMs: config.triggerTimeout,
    service: config.name,
    warnings,
  };
  return new ProgramTriggers(settings, programs, publish);
}

function policyOf(config: HttpConfig, instance: string): Policy {
  return {
    rise: config.recoverThreshold,
    fall: config.failThreshold,
    holdMs: config.hold,
    holdWhile: config.holdWhile,
    failback: config.failback,
    damping: config.failbackDamping,
    maxBackoffMs: config.maxBackoff,
    sessionsOnDown: config.sessionsOnDown,
    graceMs: config.grace,
    triggers: config.triggerMode,
    // Where the switch waits for triggers, nobody is let through without them.
    failOpen: config.triggerMode === "beside" || config.onFailover === undefined,
    instance,
  };
}
