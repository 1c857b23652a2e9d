/**
 * Orders of the operator over HTTP: `POST /__failover/ORDER?service=NAME&reason=TEXT`. An order that takes
 * time is answered as soon as it is accepted (202), or with `wait=true` when it has ended.
 */
import type { Context } from "hono";
import { formatDuration, parseDuration } from "../base/duration.ts";
import { oneLine } from "../base/one_line.ts";
import type { OperatorOrder, OrderOutcome } from "../failover/orders.ts";
import type { ServiceView } from "./view.ts";

/** The names of the orders, each with the parameters that only it has. */
export const ORDERS = {
  switchover: ["to", "max_wait"],
  failback: [],
  pause: [],
  resume: [],
  hold: ["max"],
  release: [],
  drain: ["upstream"],
  undrain: ["upstream"],
} as const satisfies Record<OperatorOrder["name"], readonly string[]>;

/** Parameters of every order. */
const COMMON = ["service", "reason", "wait"];
const REASON_MAX = 300;
/** The longest time that an order may ask for, in milliseconds; each service allows less. */
const ASKED_MAX_MS = 24 * 3_600_000;

/** Answers one order that arrived for one of `services`. `by` says who gave it. */
export async function answerOrder(
  c: Context,
  name: OperatorOrder["name"],
  services: readonly ServiceView[],
  by: string,
): Promise<Response> {
  const refusal = refusePages(c);
  if (refusal !== undefined) return refusal;
  const query = c.req.query();
  const view = oneServiceOf(services, query.service);
  if (view === undefined) {
    const names = services.map((service) => service.name);
    return c.json({ error: "name one service: ?service=NAME", services: names }, 400);
  }
  const order = parseOrder(name, query);
  if (typeof order === "string") return c.json({ error: order }, 400);
  const reason = shortLine(query.reason ?? "");
  const outcome = await ask(view, order, { by, reason }, query.wait === "true");
  const { epoch } = view.state();
  if (outcome.is === "refused" || outcome.is === "failed") {
    return c.json({ error: outcome.reason, outcome: outcome.is, epoch }, 409);
  }
  return c.json(
    { ordered: true, outcome: outcome.is, epoch },
    outcome.is === "accepted" ? 202 : 200,
  );
}

/**
 * Refuses a request that comes from a web page but our own. Browsers send `Origin` with every POST, and say with
 * `Sec-Fetch-Site` whether it is from a page of the same origin (W3C, "Fetch Metadata Request Headers",
 * section 2.3). By which names a page may have been loaded from us is checked for each request.
 */
export function refusePages(c: Context): Response | undefined {
  const site = c.req.header("sec-fetch-site");
  const isOurs = site === undefined ? c.req.header("origin") === undefined : site === "same-origin";
  return isOurs ? undefined : c.json({ error: "orders are not taken from other web pages" }, 403);
}

/** The service that is meant: the one of this name, or the only one if there is no name. */
export function oneServiceOf(
  services: readonly ServiceView[],
  name: string | undefined,
): ServiceView | undefined {
  return name === undefined && services.length === 1
    ? services[0]
    : services.find((service) => service.name === name);
}

function ask(
  view: ServiceView,
  order: OperatorOrder,
  source: { readonly by: string; readonly reason: string },
  waits: boolean,
): Promise<OrderOutcome> {
  return new Promise((resolve) => {
    view.order(order, source, (outcome) => {
      if (outcome.is !== "accepted" || !waits) resolve(outcome);
    });
  });
}

/** The order of a query, or what is wrong with it. */
export function parseOrder(
  name: OperatorOrder["name"],
  query: Readonly<Record<string, string>>,
): OperatorOrder | string {
  const own: readonly string[] = ORDERS[name];
  const unknown = Object.keys(query).find((key) => !own.includes(key) && !COMMON.includes(key));
  if (unknown !== undefined) return `${name} has no parameter ${unknown}`;
  switch (name) {
    case "switchover": {
      if (!query.to) return "name the upstream: ?to=UPSTREAM";
      const ms = duration(query.max_wait, "max_wait");
      if (typeof ms === "string") return ms;
      return { name, to: query.to, ...(ms === undefined ? {} : { maxWaitMs: ms }) };
    }
    case "hold": {
      const ms = duration(query.max, "max");
      if (typeof ms === "string") return ms;
      return { name, ...(ms === undefined ? {} : { maxMs: ms }) };
    }
    case "drain":
    case "undrain":
      if (!query.upstream) return "name the upstream: ?upstream=UPSTREAM";
      return { name, upstream: query.upstream };
    default:
      return { name };
  }
}

function duration(text: string | undefined, key: string): number | undefined | string {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (typeof ms === "number" && ms <= ASKED_MAX_MS) return ms;
  return `${key} is not a duration of at most ${formatDuration(ASKED_MAX_MS)}: ${shortLine(text)}`;
}

/** The reason of an order as one line of limited length: it goes into the log and into environments. */
export function shortLine(text: string): string {
  return oneLine(text).trim().slice(0, REASON_MAX);
}
