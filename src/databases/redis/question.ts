/** What the replies to PING, ROLE and INFO replication say about a Redis or Valkey server. Pure. */
import type { ServerReport } from "../../failover/server_report.ts";
import { sourceOf } from "../source.ts";
import { RedisError, type RedisReply } from "./resp.ts";

/** The report that follows from the three replies. */
export function redisReport(
  { ping, role, info }: {
    readonly ping: RedisReply;
    readonly role: RedisReply;
    readonly info: RedisReply;
  },
): ServerReport {
  if (ping instanceof RedisError && ping.code === "LOADING") {
    return { role: "unknown", phase: "starting", reason: ping.text };
  }
  const kind = Array.isArray(role) ? role[0] : undefined;
  if (kind !== "master" && kind !== "slave") {
    return { role: "unknown", phase: "running", reason: whyUnknown(role, kind) };
  }
  const facts = typeof info === "string" ? factsOf(info) : new Map<string, string>();
  if (kind === "slave") return standbyOf(facts);
  const position = number(facts.get("master_repl_offset"));
  const at = position === undefined ? {} : { position };
  return { role: "primary", phase: "running", readOnly: false, ...at };
}

function standbyOf(facts: ReadonlyMap<string, string>): ServerReport {
  const isUp = facts.get("master_link_status") === "up";
  // Of a replica whose link was up once it is the time since then, else it is negative.
  const lagSeconds = number(
    facts.get(isUp ? "master_last_io_seconds_ago" : "master_link_down_since_seconds"),
  ) ?? -1;
  const position = number(facts.get("slave_repl_offset"));
  const isEmpty = lagSeconds < 0 && (position ?? 0) <= 1;
  if (!isUp && (facts.get("master_sync_in_progress") === "1" || isEmpty)) {
    // As the master it would have nothing, or old data, and the real ones would be gone.
    const reason = "it has no copy yet of what its master has";
    return { role: "standby", phase: "starting", reason };
  }
  const readOnly = facts.get("slave_read_only");
  return {
    role: "standby",
    phase: "running",
    ...readOnly === undefined ? {} : { readOnly: readOnly === "1" },
    ...position === undefined ? {} : { position },
    ...lagSeconds < 0 ? {} : { lagSeconds },
    ...sourceOf(facts.get("master_host"), facts.get("master_port")),
    ...isUp ? {} : { reason: "it has lost its master" },
  };
}

function whyUnknown(role: RedisReply, kind: RedisReply | undefined): string {
  if (role instanceof RedisError) return role.text;
  return kind === "sentinel" ? "it is a Sentinel, which keeps no data" : "it does not know ROLE";
}

/** The lines `name:value` of INFO. */
function factsOf(text: string): Map<string, string> {
  const facts = new Map<string, string>();
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) facts.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return facts;
}

function number(text: string | undefined): number | undefined {
  const value = text === undefined || text === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : undefined;
}
