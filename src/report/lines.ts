/**
 * The level and the sentence of each event, and the two formats of a log line. An event without a row here
 * does not compile. Pure.
 */
import { formatDuration } from "../base/duration.ts";
import { oneLine } from "../base/one_line.ts";
import type { Event, EventOf } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";

/** The levels of the log, the least important first. */
export const LEVELS = ["debug", "info", "warn", "error"] as const;

/** One of `LEVELS`. */
export type Level = typeof LEVELS[number];

interface LineRow<E> {
  readonly level: Level;
  readonly line: (event: E) => string;
}

const took = (ms: number) => formatDuration(Math.max(0, Math.round(ms)));
const leftToFinish = (sessions: number, ms: number) =>
  sessions === 0
    ? ""
    : sessions === 1
    ? `: 1 running session has ${took(ms)} to finish`
    : `: ${sessions} running sessions have ${took(ms)} to finish`;
const because = (reason: string) => reason === "" ? "" : ` (${reason})`;
const from = (upstream: string | undefined) => upstream === undefined ? "" : ` from ${upstream}`;

/** The level and the sentence for each type of event. */
export const ROWS: { readonly [T in Event["type"]]: LineRow<EventOf<T>> } = {
  "proxy.started": {
    level: "info",
    line: (e) =>
      `failover ${e.version} started with ${e.services} service${e.services === 1 ? "" : "s"}`,
  },
  "proxy.stopping": {
    level: "info",
    line: (e) => `stopping (${e.reason})${leftToFinish(e.sessions, e.drainMs)}`,
  },
  "proxy.stopped": {
    level: "info",
    line: (e) => e.cutSessions === 0 ? "stopped" : `stopped, ${e.cutSessions} sessions were cut`,
  },
  "proxy.faulted": {
    level: "error",
    line: (e) => `a fault of the proxy itself was caught, everything else goes on: ${e.reason}`,
  },
  "service.died": {
    level: "error",
    line: (e) =>
      `the service died, its sessions are lost; it is started again in ${
        took(e.retryInMs)
      }: ${e.reason}`,
  },
  "relay.chosen": { level: "info", line: (e) => `relay engine is ${e.engine}: ${e.reason}` },
  "sockets.chosen": {
    level: "info",
    line: (e) =>
      `connections use the sockets of ${e.sockets === "linux" ? "Linux" : "Deno"}: ${e.reason}`,
  },
  "worker.died": {
    level: "error",
    line: (e) =>
      `worker ${e.worker} died with ${e.sessions} sessions; ` +
      `it is started again in ${took(e.retryInMs)}: ${e.reason}`,
  },
  "worker.starved": {
    level: "warn",
    line: (e) =>
      `worker ${e.worker} has not run for ${
        took(e.forMs)
      }: the machine is overloaded, or stopped it`,
  },
  "config.warned": { level: "warn", line: (e) => e.warning },
  "probe.failed": {
    level: "debug",
    line: (e) => `check of ${e.upstream} failed (${e.failures} of ${e.fall}): ${e.reason}`,
  },
  "upstream.up": { level: "info", line: (e) => `upstream ${e.upstream} is up: ${e.reason}` },
  "upstream.down": { level: "warn", line: (e) => `upstream ${e.upstream} is down: ${e.reason}` },
  "upstream.doubted": {
    level: "debug",
    line: (e) => `a client could not use ${e.upstream} (${e.reason}): checking it now`,
  },
  "noVerdict.began": {
    level: "error",
    line: (e) =>
      `no verdict on ${e.upstream}, since this machine cannot check it (${e.reason}): nothing changes`,
  },
  "noVerdict.ended": {
    level: "info",
    line: (e) => `${e.upstream} is checked again: there was no verdict for ${took(e.lastedMs)}`,
  },
  "server.roleChanged": {
    level: "info",
    line: (e) =>
      e.before === undefined
        ? `${e.upstream} is a ${e.role}`
        : `${e.upstream} is a ${e.role} now, and was a ${e.before}`,
  },
  "server.roleUnknown": {
    level: "warn",
    line: (e) =>
      `${e.upstream} is alive, but its role is unknown (${e.reason}): it may be chosen, whatever it is`,
  },
  "upstream.barred": {
    level: "warn",
    line: (e) => `${e.upstream} is up, but may not be chosen: ${e.reason}`,
  },
  "upstream.allowed": { level: "info", line: (e) => `${e.upstream} may be chosen again` },
  "server.promoted": {
    level: "info",
    line: (e) => `${e.upstream} was made the primary in ${took(e.tookMs)} (epoch ${e.epoch})`,
  },
  "server.promotionFailed": {
    level: "error",
    line: (e) =>
      `${e.upstream} could not be made the primary in ${
        took(e.tookMs)
      } (epoch ${e.epoch}): ${e.reason}`,
  },
  "selection.started": {
    level: "debug",
    line: (e) => `looking for an upstream: ${e.reason}`,
  },
  "selection.failed": {
    level: "warn",
    line: (e) =>
      `no upstream is usable (round ${e.round}), next round in ${took(e.retryInMs)}: ${
        e.reasons.map((r) => `${r.upstream}: ${r.reason}`).join("; ")
      }`,
  },
  "promotion.started": {
    level: "info",
    line: (e) => `${e.move}${from(e.from)} to ${e.to} begins (epoch ${e.epoch}): ${e.reason}`,
  },
  "promotion.delayed": {
    level: "error",
    line: (e) =>
      `${e.to} is not ready (epoch ${e.epoch}, attempt ${e.attempt}): ${e.reason}; ` +
      `next attempt in ${took(e.retryInMs)}`,
  },
  "promotion.abandoned": {
    level: "warn",
    line: (e) => `promotion of ${e.to} given up (epoch ${e.epoch}): ${e.reason}`,
  },
  "promotion.finished": {
    level: "info",
    line: (e) =>
      e.triggersFailed === undefined
        ? `${e.move}${from(e.from)} to ${e.to} done in ${
          took(e.tookMs)
        } (epoch ${e.epoch}): ${e.reason}`
        : `${e.move}${from(e.from)} to ${e.to}: serving after ${
          took(e.tookMs)
        }, trigger failed (epoch ${e.epoch}): ${e.triggersFailed}; moved because ${e.reason}`,
  },
  "promotion.flawed": {
    level: "warn",
    line: (e) => `serving ${e.to}, trigger failed (epoch ${e.epoch}): ${e.reason}`,
  },
  "service.returned": {
    level: "warn",
    line: (e) =>
      `${e.upstream} serves on (epoch ${e.epoch}), new clients waited ${
        took(e.tookMs)
      }: ${e.reason}`,
  },
  "service.continued": {
    level: "info",
    line: (e) =>
      `resume: ${e.upstream} serves (epoch ${e.epoch}) after ${took(e.tookMs)}: ${e.reason}`,
  },
  "failback.scheduled": {
    level: "info",
    line: (e) => `failback to ${e.to} in ${took(e.inMs)}: ${e.reason}`,
  },
  "failback.cancelled": {
    level: "info",
    line: (e) => `failback to ${e.to} cancelled: ${e.reason}`,
  },
  "failover.withheld": {
    level: "error",
    line: (e) =>
      `${e.upstream} is down (${e.reason}), and nothing is done about it: the service is paused`,
  },
  "failover.contested": {
    level: "error",
    line: (e) =>
      `${e.upstream} is down here (${e.reason}), but not for most proxies: it stays active`,
  },
  "decision.followed": {
    level: "info",
    line: (e) =>
      `${e.move}: ${e.to} serves (epoch ${e.epoch}) after ${
        took(e.tookMs)
      }, decided by ${e.by}: ${e.reason}`,
  },
  "lead.taken": {
    level: "info",
    line: (e) => `this proxy (${e.instance}) leads and decides for all; proxies: ${e.proxies}`,
  },
  "lead.lost": { level: "warn", line: (e) => `this proxy does not lead any more: ${e.reason}` },
  "coordinator.lost": {
    level: "error",
    line: (e) =>
      `etcd cannot be reached (${e.reason}): the last decision is served, NOTHING IS PROMOTED`,
  },
  "coordinator.reached": {
    level: "warn",
    line: (e) => `etcd answers again (${e.endpoint}) after ${took(e.lostMs)}`,
  },
  "coordinator.ignored": {
    level: "error",
    line: (e) => `etcd cannot be reached (${e.reason}): this proxy DECIDES ALONE`,
  },
  "proxy.differs": {
    level: "warn",
    line: (e) => `proxy ${e.instance} differs from this one: ${e.what}`,
  },
  "order.refused": {
    level: "warn",
    line: (e) => `no ${e.order}, ordered by ${e.by}: ${e.reason}`,
  },
  "service.paused": {
    level: "warn",
    line: (e) => `paused by ${e.by}: no automatic decision is made${because(e.reason)}`,
  },
  "service.resumed": {
    level: "warn",
    line: (e) => `resumed by ${e.by} after ${took(e.pausedMs)}${because(e.reason)}`,
  },
  "hold.began": {
    level: "warn",
    line: (e) => `held by ${e.by}: new clients wait, at most ${took(e.maxMs)}${because(e.reason)}`,
  },
  "hold.ended": {
    level: "info",
    line: (e) => `the hold ended after ${took(e.heldMs)}: ${e.reason}`,
  },
  "upstream.drained": {
    level: "warn",
    line: (e) => `${e.upstream} drained by ${e.by}: it is no candidate${because(e.reason)}`,
  },
  "upstream.undrained": {
    level: "info",
    line: (e) => `${e.upstream} is a candidate again, by order of ${e.by}${because(e.reason)}`,
  },
  "trigger.started": {
    level: "debug",
    line: (e) => `trigger ${e.program} starts (epoch ${e.epoch})`,
  },
  "trigger.finished": {
    level: "info",
    line: (e) => `trigger ${e.program} finished in ${took(e.tookMs)} (epoch ${e.epoch})`,
  },
  "trigger.failed": {
    level: "warn",
    line: (e) =>
      `trigger ${e.program} failed after ${took(e.tookMs)} (epoch ${e.epoch}): ${e.reason}`,
  },
  "program.said": { level: "info", line: (e) => `${e.program} ${e.upstream}: ${e.line}` },
  "notification.sent": {
    level: "debug",
    line: (e) => `notification of ${e.kind} sent (attempt ${e.attempts})`,
  },
  "notification.lost": {
    level: "warn",
    line: (e) => `notification of ${e.kind} given up after ${e.attempts} attempts: ${e.reason}`,
  },
  "proxyHeader.missing": {
    level: "warn",
    line: (e) =>
      `${e.count} connection${e.count === 1 ? "" : "s"} without a PROXY protocol header ` +
      `${e.count === 1 ? "was" : "were"} closed, the last one from ${e.client}`,
  },
  "client.limited": {
    level: "warn",
    line: (e) =>
      `client ${e.client} has ${e.max} connections, as many as it may; ` +
      `${e.count} connection${e.count === 1 ? " was" : "s were"} closed at once`,
  },
  "accessLog.lost": {
    level: "warn",
    line: (e) =>
      `${e.count} line${e.count === 1 ? "" : "s"} of the access log ` +
      `${e.count === 1 ? "was" : "were"} lost: ${e.reason}`,
  },
  "clients.held": {
    level: "info",
    line: (e) => `new clients wait, at most ${took(e.holdMs)}: ${e.reason}`,
  },
  "clients.refused": { level: "warn", line: (e) => `new clients are refused: ${e.reason}` },
  "service.failedOpen": {
    level: "error",
    line: (e) =>
      `every upstream looks down: clients are let through to ${e.upstream} nevertheless ` +
      `(epoch ${e.epoch}): ${e.reason}`,
  },
  "port.opened": { level: "info", line: (e) => `listening on ${e.address}` },
  "port.closed": { level: "info", line: (e) => `no longer listening on ${e.address}` },
  "control.opened": { level: "debug", line: (e) => `commands are taken at ${e.path}` },
  "control.missing": {
    level: "warn",
    line: (e) => `no commands are taken at ${e.path}: ${e.reason} (see --control)`,
  },
  "drill.started": {
    level: "info",
    line: (e) =>
      `drill${e.runsTriggers ? " with triggers" : ""} by ${e.by}${
        because(e.reason)
      }: nothing moves`,
  },
  "drill.finished": {
    level: "info",
    line: (e) =>
      `drill: ${
        e.chosen === undefined ? `NOBODY would take over: ${e.why}` : `${e.chosen} would take over`
      } (answers took ${took(e.choiceMs)})${
        e.triggersFailed === undefined ? "" : `; its triggers FAILED: ${e.triggersFailed}`
      }`,
  },
  "state.failed": {
    level: "error",
    line: (e) =>
      `cannot use the state folder ${e.path}: ${e.reason}; what it would remember is lost at the end`,
  },
  "state.restored": { level: "info", line: (e) => `the state folder ${e.path} can be used again` },
  "state.damaged": {
    level: "warn",
    line: (e) =>
      `${e.lines} ${e.lines === 1 ? "line" : "lines"} of ${e.path} cannot be read and ${
        e.lines === 1 ? "is" : "are"
      } skipped`,
  },
  "port.failed": {
    level: "error",
    line: (e) => `cannot listen on ${e.address}: ${e.reason}; next attempt in ${took(e.retryInMs)}`,
  },
  "accept.failed": {
    level: "error",
    line: (e) =>
      `cannot accept clients on ${e.address}: ${e.reason}; next attempt in ${took(e.retryInMs)}`,
  },
  "connections.limited": {
    level: "warn",
    line: (e) =>
      `at most ${e.max} clients at one time instead of ${e.asked}: this process may have ` +
      `${e.descriptors} descriptors (ulimit -n, LimitNOFILE); further clients wait to be accepted`,
  },
  "connections.fitted": {
    level: "info",
    line: (e) =>
      `at most ${e.max} clients at one time: this process may have ${e.descriptors} descriptors ` +
      `(ulimit -n, LimitNOFILE); further clients wait to be accepted`,
  },
  "limit.reached": {
    level: "warn",
    line: (e) => `${e.limit} reached its limit of ${e.max}: further clients wait to be accepted`,
  },
  "sessions.cut": {
    level: "warn",
    line: (e) =>
      `${e.count} sessions of ${e.upstream} were cut` +
      `${e.kept === 0 ? "" : `, ${e.kept} still move bytes and stay`}: ${e.reason}`,
  },
  "request.refused": {
    level: "info",
    line: (e) =>
      `client ${e.client} was answered ${e.status}: ${e.reason}` +
      (e.count === 1 ? "" : ` (${e.count} such requests since the last line)`),
  },
  "session.failed": {
    level: "warn",
    line: (e) => {
      const upstream = e.upstream === undefined ? "" : ` with ${e.upstream}`;
      return `session of client ${e.client}${upstream} failed: ${e.reason}`;
    },
  },
};

function rowOf<E extends Event>(event: E): LineRow<E> {
  // The mapped type above pairs each row with its event; TypeScript loses that in the lookup.
  return ROWS[event.type] as unknown as LineRow<E>;
}

/** The level of an event. */
export function levelOf(event: Event): Level {
  return rowOf(event).level;
}

/** The event as one sentence on one line. */
export function sentenceOf(event: Event): string {
  return oneLine(rowOf(event).line(event));
}

/** `2026-11-21 09:07:12.123Z WARN  [orders] upstream db1:5432 is down: connection refused`. */
export function personLine({ time, service, event }: Stamped): string {
  const when = new Date(time).toISOString().replace("T", " ");
  const where = service === "" ? "" : `[${service}] `;
  return `${when} ${levelOf(event).toUpperCase().padEnd(5)} ${where}${sentenceOf(event)}`;
}

/** One JSON object: `time`, `level`, `service`, `event`, `message`, then the event's own fields. */
export function jsonLine({ time, service, event }: Stamped): string {
  const { type, ...fields } = event;
  return JSON.stringify({
    time: new Date(time).toISOString(),
    level: levelOf(event),
    service,
    event: type,
    message: sentenceOf(event),
    ...fields,
  }, rounded);
}

/** Rounds numbers to three decimals: times are measured in fractions of a microsecond. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1_000) / 1_000 : value;
}
