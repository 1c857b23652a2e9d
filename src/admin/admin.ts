/**
 * The admin endpoints: `/__failover/*` as a Hono app, served on the main port in HTTP mode and on a separate
 * listener with `--admin`. The main port is public, so it accepts no orders and shows no events, which may
 * contain client addresses. Other web pages get no access: there is no CORS, and a browser may give orders
 * only from our own page.
 */
import { type Context, Hono } from "hono";
import type { Clock } from "../base/clock.ts";
import type { Event } from "../events/events.ts";
import type { EventStream, Stamped } from "../events/stream.ts";
import type { OperatorOrder } from "../failover/orders.ts";
import type { Incidents } from "../incidents/incidents.ts";
import type { AdminEnv } from "./listen.ts";
import { configReport } from "./config_state.ts";
import { isOurName } from "./host_names.ts";
import { isSame } from "./token.ts";
import { EXPOSITION_TYPE } from "./exposition.ts";
import { feed } from "./feed.ts";
import { answerDrill } from "./drill.ts";
import { answerIncident, answerIncidents, answerTimeline } from "./incidents.ts";
import { answerOrder, ORDERS } from "./orders.ts";
import { answerReload, type ReloadOrder } from "./reload.ts";
import { metricsText, type ProcessFacts } from "./metrics.ts";
import { briefReport, stateReport } from "./state_report.ts";
import type { EventCounts } from "./event_counts.ts";
import { answerUpgrade, type UpgradeAnswer, type UpgradeOrder } from "./upgrade.ts";
import type { ServiceView } from "./view.ts";

/** What the admin endpoints of a process show and call. */
export interface AdminSettings {
  readonly clock: Clock;
  /** At least one. */
  readonly services: readonly ServiceView[];
  readonly events: EventStream;
  readonly eventCounts: EventCounts;
  readonly incidents: Pick<Incidents, "list" | "find" | "inputs" | "timeline" | "counts">;
  readonly facts: () => ProcessFacts;
  /** Reads the config again; missing where that is not possible. */
  readonly reload?: ReloadOrder;
  /** Whether the process is shutting down. */
  readonly isStopping: () => boolean;
  /**
   * Names of hosts by which requests may call us, beside addresses and `localhost`; undefined where no web page
   * can reach us.
   */
  readonly ownNames?: readonly string[];
  /** Where the page can be reached; by default at the control socket only. */
  readonly listeners?: () => {
    readonly admin: string | null;
    readonly admin_takes_orders: boolean;
  };
  /** Who a client is, for the log; by default the address that the listener gives. */
  readonly nameOf?: (peer: string) => string;
  /** Formats an event as a sentence. */
  readonly sentence: (event: Event) => string;
  /**
   * How many connections the listener takes: at most half of them are live feeds, so that these leave room for
   * commands. Without a number there may be `FEEDS_MAX` feeds.
   */
  readonly connectionsMax?: number;
  /** Replaces the process; only where the program to start may be named, which is the control socket. */
  readonly upgrade?: (order: UpgradeOrder) => Promise<UpgradeAnswer>;
  /** Ends the live feeds, which otherwise never end by themselves. */
  readonly stop: AbortSignal;
}

/**
 * Who can reach the endpoints, and what they see. Health and readiness are for everybody. On the main port of
 * an HTTP service, `health` adds nothing to them, `brief` adds where the traffic goes and since when, and
 * `public` adds the state and the metrics. `operator`, a separate listener, has everything.
 */
export type Exposure = "health" | "brief" | "public" | "operator";

/** Which orders are carried out: none, all, or those that come with this secret as a bearer token. */
export type OrdersAccess = "none" | "all" | { readonly token: string };

const ROOT = "/__failover";
/** Most live feeds at one time. */
export const FEEDS_MAX = 16;

/** Builds the app. It answers every path below `/__failover/`, with 404 for unknown ones. */
export function adminApp(
  settings: AdminSettings,
  exposure: Exposure,
  orders: OrdersAccess = "none",
): Hono<{ Bindings: AdminEnv }> {
  const app = new Hono<{ Bindings: AdminEnv }>();
  app.use(`${ROOT}/*`, async (c, next) => {
    // Load balancers send any `Host`, or none, and these two answers reveal nothing.
    const isForAll = c.req.path === `${ROOT}/health` || c.req.path === `${ROOT}/ready`;
    // A browser can reach a unix socket through a forwarded port.
    const isBrowser = c.req.header("sec-fetch-site") !== undefined;
    const ownNames = settings.ownNames ?? (isBrowser ? [] : undefined);
    if (!isForAll && ownNames !== undefined && !isOurName(c.req.header("host"), ownNames)) {
      const error = "this listener answers to addresses, localhost and the names of --admin-hosts";
      return c.json({ error }, 421);
    }
    await next();
    c.header("cache-control", "no-store");
    c.header("x-content-type-options", "nosniff");
  });
  app.get(`${ROOT}/health`, (c) => c.text("OK"));
  app.get(`${ROOT}/ready`, (c) => answerReady(c, settings));
  if (exposure === "brief") {
    app.get(`${ROOT}/state`, (c) => c.json(briefReport(settings.services[0]!, settings.clock)));
  } else if (exposure !== "health") {
    app.get(`${ROOT}/state`, (c) => answerState(c, settings, exposure !== "public"));
    app.get(`${ROOT}/metrics`, (c) => {
      const { services, eventCounts, incidents, facts } = settings;
      return c.body(metricsText(services, eventCounts, incidents.counts, facts()), 200, {
        "content-type": EXPOSITION_TYPE,
      });
    });
  }
  if (exposure === "operator") {
    const page = { ...settings, buttons: buttonsFor(orders) };
    app.get(`${ROOT}`, (c) => c.redirect(`${ROOT}/`));
    app.get(`${ROOT}/`, async (c) => (await import("./page.ts")).answerPage(c, page));
    app.get(`${ROOT}/page`, async (c) => (await import("./page.ts")).answerPageState(c, page));
    app.get(
      `${ROOT}/listeners`,
      (c) => c.json(settings.listeners?.() ?? { admin: null, admin_takes_orders: false }),
    );
    app.get(`${ROOT}/events`, answerEvents(settings));
    app.get(`${ROOT}/incidents`, (c) => answerIncidents(c, settings));
    app.get(`${ROOT}/incidents/:id`, (c) => answerIncident(c, settings));
    app.get(`${ROOT}/timeline`, (c) => answerTimeline(c, settings));
    app.post(`${ROOT}/drill`, async (c) => {
      const refusal = await refusalOf(c, orders);
      return refusal ?? await answerDrill(c, settings.services, askerOf(c, settings));
    });
    addProcessOrders(app, settings, orders);
    for (const name of Object.keys(ORDERS) as OperatorOrder["name"][]) {
      app.post(`${ROOT}/${name}`, async (c) => {
        const refusal = await refusalOf(c, orders);
        return refusal ?? await answerOrder(c, name, settings.services, askerOf(c, settings));
      });
    }
  }
  const paths = app.routes.filter((route) => route.method !== "ALL")
    .map(({ method, path }) => `${method} ${path}`);
  app.all(`${ROOT}/*`, (c) => c.json({ error: "no such endpoint", endpoints: paths }, 404));
  return app;
}

/** Orders that concern the process, and no service. */
function addProcessOrders(
  app: Hono<{ Bindings: AdminEnv }>,
  settings: AdminSettings,
  orders: OrdersAccess,
): void {
  const { upgrade, reload } = settings;
  if (upgrade !== undefined && orders === "all") {
    app.post(`${ROOT}/upgrade`, (c) => answerUpgrade(c, upgrade, askerOf(c, settings)));
  }
  if (reload === undefined) return;
  app.post(`${ROOT}/reload`, async (c) => {
    const refusal = await refusalOf(c, orders);
    return refusal ?? await answerReload(c, reload, askerOf(c, settings));
  });
}

/**
 * Whether a balancer should send clients here: not before each service has had its first upstream, and not
 * while the process ends. A later outage changes nothing, because the clients would lose its error page too.
 */
function answerReady(c: Context, { services, isStopping }: AdminSettings): Response {
  if (isStopping()) return c.text("stopping", 503);
  const isChosen = services.length > 0 &&
    services.every((view) => view.state().lastServed !== undefined);
  return isChosen ? c.text("ready") : c.text("no upstream was chosen yet", 503);
}

function buttonsFor(orders: OrdersAccess): "none" | "token" | "all" {
  return typeof orders === "string" ? orders : "token";
}

/** Who gives an order, for the log. */
function askerOf(
  { env }: Context<{ Bindings: AdminEnv }>,
  { nameOf = (peer) => `a client at ${peer}` }: AdminSettings,
): string {
  // Tests send requests to the app without a socket.
  return env?.peer === undefined ? "a client of the admin endpoints" : nameOf(env.peer);
}

/** The response to an order that must not be carried out, or undefined. */
async function refusalOf(c: Context, orders: OrdersAccess): Promise<Response | undefined> {
  if (orders === "all") return undefined;
  if (orders === "none") {
    const error = "orders are taken at the control socket, and here with --admin-token-file";
    return c.json({ error }, 403);
  }
  const sent = /^Bearer +(\S+)$/i.exec(c.req.header("authorization") ?? "")?.[1];
  if (sent !== undefined && await isSame(sent, orders.token)) return undefined;
  c.header("www-authenticate", "Bearer");
  return c.json({ error: "this order needs the token of --admin-token-file" }, 401);
}

function answerState(
  c: Context,
  { services, clock, facts }: AdminSettings,
  saysWho: boolean,
): Response {
  const { version, config } = facts();
  const process = { version, ...saysWho ? { config: configReport(config) } : {} };
  const name = c.req.query("service");
  if (name === undefined && services.length > 1) {
    return c.json({
      ...process,
      services: services.map((view) => stateReport(view, clock, saysWho)),
    });
  }
  const view = find(services, name);
  if (view === undefined) return c.json({ error: `no service "${name}"` }, 404);
  return c.json({ ...process, ...stateReport(view, clock, saysWho) });
}

/** The service with that name; without a name, the only service. */
function find(services: readonly ServiceView[], name: string | undefined): ServiceView | undefined {
  if (name !== undefined) return services.find((view) => view.name === name);
  return services.length === 1 ? services[0] : undefined;
}

function answerEvents(settings: AdminSettings): (c: Context) => Response {
  const { events, clock, stop, sentence } = settings;
  const report = ({ seq, time, service, event: { type, ...fields }, event }: Stamped) => ({
    seq,
    time: new Date(time).toISOString(),
    service,
    event: type,
    message: sentence(event),
    ...fields,
  });
  const half = Math.floor((settings.connectionsMax ?? Infinity) / 2);
  const feedsMax = Math.max(1, Math.min(FEEDS_MAX, half));
  let feeds = 0;
  return (c) => {
    if (!c.req.header("accept")?.includes("text/event-stream")) {
      return c.json({ events: events.recent.map(report) });
    }
    if (c.req.method === "HEAD") {
      return c.body(null, 200, { "content-type": "text/event-stream" });
    }
    if (feeds >= feedsMax) return c.json({ error: `${feedsMax} feeds are open already` }, 503);
    feeds++;
    const lastId = c.req.header("last-event-id") ?? "";
    const body = feed(events, {
      clock,
      isNamed: c.req.query("named") !== "false",
      print: (stamped) => JSON.stringify(report(stamped)),
      after: /^\d{1,15}$/.test(lastId) ? Number(lastId) : undefined,
      stop,
      onEnd: () => feeds--,
    });
    return c.body(body, 200, { "content-type": "text/event-stream" });
  };
}
