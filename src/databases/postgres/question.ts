/** What is asked of a PostgreSQL server that let us in, and what its answer means. */
import { Fault } from "../../base/fault.ts";
import type { ServerReport } from "../../failover/server_report.ts";
import type { Conversation } from "../conversation.ts";
import { PromotionRefused } from "../../health/server_probe.ts";
import { NotReady } from "../server.ts";
import { sourceOf } from "../source.ts";
import {
  type Message,
  type PostgresComplaint,
  postgresComplaint,
  postgresQuery,
  rowOf,
} from "./messages.ts";

/** Messages that answer one question; more are no answer. */
const ANSWER_MESSAGES_MAX = 100;

/**
 * One row of text: in recovery, read-only; host and port of the primary; then numbers of bytes: written or replayed up
 * to, received up to, sent by the primary up to; whether the primary is connected, and seconds since the last
 * transaction that was replayed. Any user may ask this; which primary it is and what it has sent is visible with the
 * rights of `pg_read_all_stats` only. Before version 11 there are no columns that name the primary, hence the JSON.
 */
const QUESTION = `
select pg_is_in_recovery()::int, current_setting('transaction_read_only'),
  (select to_jsonb(w)->>'sender_host' from pg_stat_wal_receiver w),
  (select to_jsonb(w)->>'sender_port' from pg_stat_wal_receiver w),
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0',
  pg_last_wal_receive_lsn() - '0/0',
  (select latest_end_lsn - '0/0' from pg_stat_wal_receiver),
  (select count(*) from pg_stat_wal_receiver),
  extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8`;

/** The server refused a question; it is alive. */
export class PostgresQuestionFailed extends Error {
  override readonly name = "PostgresQuestionFailed";
  constructor(readonly complaint: PostgresComplaint) {
    super(complaint.text);
  }
}

/** Asks for role, lag and whether it takes writes. Rejects with a `Fault` when the connection ends. */
export async function askRole(conversation: Conversation<Message>): Promise<ServerReport> {
  try {
    const [row] = await askPostgres(conversation, QUESTION);
    if (row === undefined) throw new Fault("badResponse", "an answer without a row");
    return reportOf(row);
  } catch (error) {
    if (!(error instanceof PostgresQuestionFailed)) throw error;
    return { role: "unknown", phase: "running", reason: error.message };
  }
}

/** Orders a standby to become the primary; it does so after this has resolved. */
export async function orderPromotion(conversation: Conversation<Message>): Promise<void> {
  try {
    const [row] = await askPostgres(conversation, "select pg_promote(false)");
    if (row?.[0] !== "t") throw new PromotionRefused("pg_promote could not signal the server");
  } catch (error) {
    if (!(error instanceof PostgresQuestionFailed)) throw error;
    // 55000: somebody else has promoted it meanwhile.
    if (error.complaint.code !== "55000") throw new PromotionRefused(error.message);
  }
}

/** Sends one query and resolves with its rows. Rejects with `PostgresQuestionFailed`, `NotReady` or a `Fault`. */
export async function askPostgres(
  conversation: Conversation<Message>,
  sql: string,
): Promise<(string | null)[][]> {
  conversation.begin();
  conversation.link.send(postgresQuery(sql));
  const rows: (string | null)[][] = [];
  let complaint: PostgresComplaint | undefined;
  for (let n = 0; n < ANSWER_MESSAGES_MAX; n++) {
    const { type, body } = await conversation.next();
    if (type === "D") rows.push(rowOf(body));
    else if (type === "E") {
      complaint = postgresComplaint(body);
      // Class 57: the session ends, and no ReadyForQuery follows.
      if (/^57P0[12]/.test(complaint.code)) throw new NotReady("shutting down", complaint.text);
    } else if (type === "Z") {
      if (complaint !== undefined) throw new PostgresQuestionFailed(complaint);
      return rows;
    } else if (!"TCSNAI".includes(type)) {
      throw new Fault("badResponse", `an unexpected message of type ${type}`);
    }
  }
  throw new Fault("badResponse", "an answer without end");
}

function reportOf(row: (string | null)[]): ServerReport {
  const [recovery, readOnly, host, port, ...numbers] = row;
  const [here, received = here, sent, receivers, seconds] = numbers.map(numberOf);
  if ((recovery !== "0" && recovery !== "1") || numbers.length !== 5) {
    throw new Fault("badResponse", "an answer to another question");
  }
  const base = { phase: "running", readOnly: readOnly === "on" } as const;
  const at = (position: number | undefined) => position === undefined ? {} : { position };
  if (recovery === "0") return { role: "primary", ...base, ...at(here) };
  // All that a standby has received it replays before it is promoted.
  const position = here === undefined || received === undefined ? here : Math.max(here, received);
  const isCurrent = receivers === 1 && position === here;
  // Without writes on the primary, the time since the last one is no lag.
  const lagSeconds = isCurrent ? 0 : seconds;
  return {
    role: "standby",
    ...base,
    ...at(position),
    ...sent === undefined || position === undefined
      ? {}
      : { lagBytes: Math.max(0, sent - position) },
    ...lagSeconds === undefined ? {} : { lagSeconds: Math.max(0, lagSeconds) },
    ...sourceOf(host, port),
  };
}

function numberOf(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined;
  const number = Number(text);
  return Number.isFinite(number) ? number : undefined;
}
