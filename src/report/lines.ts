/**
 * The level and the sentence of each event, and the two formats of a log line. An event without a row here
 * does not compile. The rows of decisions are in `decision_lines.ts`. Pure.
 */
import { oneLine } from "../base/one_line.ts";
import type { Event } from "../events/events.ts";
import type { Stamped } from "../events/stream.ts";
import { DECISION_ROWS } from "./decision_lines.ts";
import { because, type Level, type LineRow, type LineRows, took } from "./line_row.ts";

const leftToFinish = (sessions: number, ms: number) =>
  sessions === 0
    ? ""
    : sessions === 1
    ? `: 1 running session has ${took(ms)} to finish`
    : `: ${sessions} running sessions have ${took(ms)} to finish`;

/** The level and the sentence for each type of event. */
export const ROWS: LineRows<Event["type"]> = {
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
  "upgrade.started": {
    level: "info",
    line: (e) => `upgrade ordered by ${e.by}: ${e.program} is to take over`,
  },
  "upgrade.failed": {
    level: "warn",
    line: (e) => `the upgrade has failed, everything goes on as before: ${e.reason}`,
  },
  "upgrade.handedOver": {
    level: "info",
    line: (e) =>
      `process ${e.toPid} (${e.to}) has taken over from this one, ${e.fromPid} (${e.from})` +
      leftToFinish(e.sessions, e.drainMs),
  },
  "upgrade.tookOver": {
    level: "info",
    line: (e) => `process ${e.toPid} (${e.to}) has taken over from ${e.fromPid} (${e.from})`,
  },
  "upgrade.finished": {
    level: "info",
    line: (e) =>
      `upgraded from ${e.from} (process ${e.fromPid}) to ${e.to} (process ${e.toPid}): ` +
      `${e.connections} connection${e.connections === 1 ? "" : "s"} passed on`,
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
  "config.reloaded": {
    level: "info",
    line: (e) =>
      `config reloaded by ${e.by}: ${
        e.changes.length === 0 ? "nothing has changed" : e.changes.join("; ")
      }`,
  },
  "config.refused": {
    level: "error",
    line: (e) => `reload refused, ordered by ${e.by}: nothing has changed. ${e.errors.join(". ")}`,
  },
  ...DECISION_ROWS,
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
  "handshake.failed": {
    level: "debug",
    line: (e) => `TLS handshakes failed (${e.count}), the last one of ${e.client}: ${e.reason}`,
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
      `${e.reason}: clients are let through to ${e.upstream} nevertheless (epoch ${e.epoch})`,
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
  "http2.broken": {
    level: "info",
    line: (e) =>
      `client ${e.client} broke a rule of HTTP/2: ${e.reason}` +
      (e.count === 1 ? "" : ` (${e.count} times since the last line)`),
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
