/**
 * The reference of events and metrics for operators, made from the code: the union of events, the sentences
 * of `report/lines.ts`, and the result of a scrape. Pure: text in, text out.
 */
import { TestService } from "../src/admin/testing/service.ts";
import { answeredAs } from "../src/failover/testing/results.ts";
import { Histogram } from "../src/base/histogram.ts";
import { COUNTER_METRICS } from "../src/admin/view.ts";
import type { ClusterReport } from "../src/failover/cluster.ts";
import { metricsText, type ProcessFacts } from "../src/admin/metrics.ts";
import type { Event } from "../src/events/events.ts";
import { levelOf, ROWS, sentenceOf } from "../src/report/lines.ts";

/** One member of the union of events, as it is written there. */
export interface EventMember {
  readonly type: string;
  readonly fields: readonly { readonly name: string; readonly type: string }[];
  /** The comment above it, in one line; empty where there is none. */
  readonly comment: string;
}

/** Reads the members of the union `Event` out of the text of `events/events.ts`. */
export function eventMembers(source: string): EventMember[] {
  const union = /export type Event =\n(.*?);\n\n/s.exec(source)?.[1];
  if (union === undefined) throw new Error("Cannot find the union of events");
  const members = union.matchAll(
    /(?:\/\*\*((?:(?!\*\/).)*)\*\/\s*)?\| \{\s*type: "([\w.]+)"(.*?)\n?\s*\}(?=\n|$)/gs,
  );
  return [...members].map(([, comment = "", type, rest]) => ({
    type: type!,
    fields: fieldsOf(rest!),
    comment: comment.replace(/\s*\n\s*\*?\s*/g, " ").trim(),
  }));
}

function fieldsOf(text: string): EventMember["fields"] {
  const bare = text.replace(/\/\*\*.*?\*\//gs, "");
  return [...bare.matchAll(/(?:^|;)\s*(\w+)\??: ((?:[^;{]|\{[^}]*\})+)/g)].map((
    [, name, type],
  ) => ({
    name: name!,
    type: type!.trim(),
  }));
}

/** An event whose values are the names of its fields, so that its sentence is a pattern. */
function sampleOf({ type, fields }: EventMember): Event {
  const values = fields.map(({ name, type }) => [name, sampleValue(name, type)]);
  return { type, ...Object.fromEntries(values) } as Event;
}

function sampleValue(name: string, type: string): unknown {
  if (type.startsWith("readonly {")) return [{ upstream: "UPSTREAM", reason: "REASON" }];
  if (type.startsWith("readonly")) return [name.toUpperCase()];
  if (type.includes("number")) return name.endsWith("Ms") ? 1_500 : 2;
  if (type === "boolean") return true;
  return type === "MoveKind" ? "failover" : name.replace(/[A-Z]/g, "_$&").toUpperCase();
}

/** All events as a Markdown table: name, level, the fields of the JSON log, and the line of the log. */
export function eventsMarkdown(source: string): string {
  const members = eventMembers(source);
  const unknown = Object.keys(ROWS).filter((type) => !members.some((each) => each.type === type));
  if (unknown.length > 0) throw new Error(`Cannot find the events ${unknown.join(", ")}`);
  return [
    "| event | level | fields | line of the log |",
    "| --- | --- | --- | --- |",
    ...members.map((member) => {
      const event = sampleOf(member);
      const fields = member.fields.map(({ name }) => `\`${name}\``).join(", ");
      return `| \`${member.type}\` | ${levelOf(event)} | ${fields} | ${cell(sentenceOf(event))} |`;
    }),
  ].join("\n");
}

/** All metrics as a Markdown table: name, kind, labels, meaning. */
export async function metricsMarkdown(): Promise<string> {
  const counters = Object.fromEntries(Object.keys(COUNTER_METRICS).map((name) => [name, 1]));
  await using service = new TestService({ name: "web", counters, policy: ROLES });
  const lag = { lagBytes: 1, lagSeconds: 1 };
  await service.start(answeredAs("primary"), answeredAs("standby", lag));
  const times = new Histogram([1]);
  service.requestTimes.push({ method: "GET", status: 200, upstream: "a", times });
  service.eventCounts.take({ time: 0, service: "web", event: START, id: 1 } as never);
  const trigger = { type: "trigger.finished", program: "a", epoch: 1, tookMs: 1 } as const;
  service.eventCounts.take({ time: 0, service: "web", event: trigger, id: 2 } as never);
  const promoted = { type: "server.promoted", upstream: "a", epoch: 1, tookMs: 1 } as const;
  service.eventCounts.take({ time: 0, service: "web", event: promoted, id: 3 } as never);
  const view = { ...service.view, cluster: () => CLUSTER };
  const text = metricsText([view], service.eventCounts, INCIDENTS, FACTS);
  const rows = [...text.matchAll(/# HELP (\S+) (.*)\n# TYPE \S+ (\w+)\n(.*)/g)];
  return [
    "| metric | kind | labels | meaning |",
    "| --- | --- | --- | --- |",
    ...rows.map(([, name, help, kind, sample]) => {
      const labels = [...sample!.matchAll(/[{,](\w+)="/g)].map(([, label]) => `\`${label}\``)
        .filter((label) => label !== "`le`");
      return `| \`${name}\` | ${kind} | ${labels.join(", ")} | ${cell(help!)} |`;
    }),
  ].join("\n");
}

/** A service whose checks learn roles has more metrics. */
const ROLES = { roles: { maxLag: undefined, promotedBy: "us" } } as const;
/** A proxy that shares its decisions has more metrics. */
const CLUSTER: ClusterReport = {
  ...{ instance: "p1", role: "leads", leader: "p1", isReachable: true, reason: undefined },
  ...{ leaseLeftMs: 0, decision: undefined, proxies: [] },
};
const INCIDENTS = [{ service: "web", kind: "start", count: 1 }] as const;
/** An event that `EventCounts` counts in each of its families. */
const START: Event = {
  type: "promotion.finished",
  move: "start",
  id: "x-1",
  epoch: 1,
  to: "a",
  reason: "a is the first usable",
  tookMs: 1,
} as Event;

/** The values do not matter: only the names of the metrics are used. */
const FACTS = new Proxy({ version: "0" }, {
  get: (target, key) =>
    key === "version" ? target.version : key === "descriptors" ? { open: 0, max: 0 } : 0,
}) as unknown as ProcessFacts;

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
