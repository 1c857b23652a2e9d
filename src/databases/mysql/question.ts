/** What is asked of a MySQL or MariaDB server that let us in, and what its answer means. */
import { Fault } from "../../base/fault.ts";
import type { Conversation } from "../conversation.ts";
import { Cursor } from "../cursor.ts";
import type { ServerReport } from "../../failover/server_report.ts";
import { sourceOf } from "../source.ts";
import {
  KIND,
  type MysqlComplaint,
  mysqlComplaint,
  mysqlQuery,
  notMysql,
  type Packet,
  packet,
  variableNumber,
  variableText,
} from "./packets.ts";

/** Columns and rows of an answer; SHOW REPLICA STATUS has about 60 columns. */
const COLUMNS_MAX = 200;
const ROWS_MAX = 100;

/** A row by the names of its columns. */
export type Row = ReadonlyMap<string, string | null>;

/** The server refused a question; it is alive. */
export class MysqlQuestionFailed extends Error {
  override readonly name = "MysqlQuestionFailed";
  constructor(readonly complaint: MysqlComplaint) {
    super(complaint.text);
  }
}

/** Sends one query and resolves with its rows. Rejects with `MysqlQuestionFailed` or a `Fault`. */
export async function askMysql(conversation: Conversation<Packet>, sql: string): Promise<Row[]> {
  conversation.begin();
  // The comment names us in the server's list of what is running.
  conversation.link.send(packet(0, mysqlQuery(`/* failover */ ${sql}`)));
  const first = (await conversation.next()).body;
  if (first[0] === KIND.error) throw new MysqlQuestionFailed(mysqlComplaint(first));
  if (first[0] === KIND.ok) return [];
  const columns = variableNumber(new Cursor(first));
  if (columns === null || columns > COLUMNS_MAX) throw notMysql();
  const names: string[] = [];
  for (let n = 0; n < columns; n++) names.push(nameOf((await conversation.next()).body));
  if (!isEnd((await conversation.next()).body)) throw notMysql();
  const rows: Row[] = [];
  for (;;) {
    const { body } = await conversation.next();
    if (isEnd(body)) return rows;
    if (body[0] === KIND.error) throw new MysqlQuestionFailed(mysqlComplaint(body));
    if (rows.length === ROWS_MAX) throw new Fault("badResponse", "an answer without end");
    const cursor = new Cursor(body);
    rows.push(new Map(names.map((name) => [name, variableText(cursor)])));
  }
}

/** The fifth text of a column's definition; servers differ in upper and lower case. */
function nameOf(body: Uint8Array): string {
  const cursor = new Cursor(body);
  for (let n = 0; n < 4; n++) variableText(cursor);
  return (variableText(cursor) ?? "").toLowerCase();
}

/** The packet that ends columns or rows; a long row may begin with the same byte. */
function isEnd(body: Uint8Array): boolean {
  return body[0] === KIND.end && body.length < 9;
}

/** The question whether it takes writes, which any account may ask. */
export function readOnlyQuestion(version: string): string {
  const names = isMariaDb(version) ? ["read_only"] : ["read_only", "super_read_only"];
  return `select ${names.map((name) => `@@global.${name} as ${name}`).join(", ")}`;
}

/** The question about replication, which needs a privilege. */
export function replicationQuestion(version: string): string {
  if (isMariaDb(version)) return "show all slaves status";
  const [major = 0, minor = 0, patch = 0] = version.split(/\D/).map(Number);
  const isNew = major > 8 || (major === 8 && (minor > 0 || patch >= 22));
  return isNew ? "show replica status" : "show slave status";
}

function isMariaDb(version: string): boolean {
  return /mariadb/i.test(version);
}

/** The report of a server; `sources` are the rows about replication, undefined if they are unknown. */
export function mysqlReport(variables: Row, sources: readonly Row[] | undefined): ServerReport {
  const isOn = (name: string) => !/^(0|off)$/i.test(variables.get(name) ?? "0");
  const readOnly = isOn("read_only") || isOn("super_read_only");
  const base = { phase: "running", readOnly } as const;
  const [source] = sources ?? [];
  if (!readOnly) {
    // The convention of this world: who takes writes is the primary, though two may replicate from each other.
    const from = source === undefined ? undefined : placeOf(source).join(":");
    const reason = from === undefined
      ? {}
      : { reason: `takes writes, and replicates from ${from}` };
    return { role: "primary", ...base, ...reason };
  }
  if (source === undefined) return { role: "standby", ...base };
  return { role: "standby", ...base, ...lagOf(source), ...sourceOf(...placeOf(source)) };
}

/** Host and port. */
function placeOf(row: Row): [host: string | null, port: string | null] {
  return [either(row, "source_host", "master_host"), either(row, "source_port", "master_port")];
}

function lagOf(row: Row): Pick<ServerReport, "lagBytes" | "lagSeconds" | "reason"> {
  const seconds = either(row, "seconds_behind_source", "seconds_behind_master");
  const [io, sql] = [
    either(row, "replica_io_running", "slave_io_running"),
    either(row, "replica_sql_running", "slave_sql_running"),
  ];
  const isSameFile = either(row, "source_log_file", "master_log_file") ===
    either(row, "relay_source_log_file", "relay_master_log_file");
  const read = number(either(row, "read_source_log_pos", "read_master_log_pos"));
  const done = number(either(row, "exec_source_log_pos", "exec_master_log_pos"));
  const lagBytes = isSameFile && read !== undefined && done !== undefined
    ? { lagBytes: Math.max(0, read - done) }
    : {};
  const lagSeconds = number(seconds);
  const isRunning = io === "Yes" && sql === "Yes";
  return {
    ...lagBytes,
    ...lagSeconds === undefined ? {} : { lagSeconds },
    ...isRunning
      ? {}
      : { reason: `replication does not run (I/O thread ${io}, SQL thread ${sql})` },
  };
}

/** A column by its new or its old name. */
function either(row: Row, name: string, old: string): string | null {
  return row.get(name) ?? row.get(old) ?? null;
}

function number(text: string | null): number | undefined {
  if (text === null || text === "") return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}
