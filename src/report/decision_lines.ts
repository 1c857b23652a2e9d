/** The lines of verdicts, of decisions and what led to them, and of the operator's orders. Pure. */
import type { Event } from "../events/events.ts";
import { because, type LineRows, took } from "./line_row.ts";

type Decided = Extract<
  Event["type"],
  | `${"probe" | "upstream" | "noVerdict" | "server" | "selection" | "promotion"}.${string}`
  | `${"failback" | "failover" | "decision" | "lead" | "coordinator" | "proxy" | "order"}.${string}`
  | `${"service" | "hold" | "trigger"}.${string}`
>;

const from = (upstream: string | undefined) => upstream === undefined ? "" : ` from ${upstream}`;

/** The level and the sentence for each of these events. */
export const DECISION_ROWS = {
  "probe.failed": {
    level: "debug",
    line: (e) => `check of ${e.upstream} failed (${e.failures} of ${e.fall}): ${e.reason}`,
  },
  "upstream.up": { level: "info", line: (e) => `upstream ${e.upstream} is up: ${e.reason}` },
  "upstream.down": { level: "warn", line: (e) => `upstream ${e.upstream} is down: ${e.reason}` },
  "upstream.doubted": {
    level: "debug",
    line: (e) => `a live connection to ${e.upstream} failed (${e.reason}): checking it now`,
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
      `etcd cannot be used (${e.reason}): the last decision, if it is known, is served, NOTHING IS PROMOTED`,
  },
  "coordinator.reached": {
    level: "warn",
    line: (e) => `etcd answers again after ${took(e.lostMs)}`,
  },
  "coordinator.ignored": {
    level: "error",
    line: (e) => `etcd cannot be used (${e.reason}): this proxy DECIDES ALONE`,
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
} satisfies Partial<LineRows<Decided>>;
