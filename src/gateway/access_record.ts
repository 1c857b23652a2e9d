/** The record of one exchange in the access log, and the two formats of a line. Pure. */

/** `json`: one object with every field of the record. `combined`: the format of Apache and nginx. */
export type AccessFormat = "json" | "combined";

/** Text comes from clients and may hold any character from U+0000 to U+00FF. */
export interface AccessRecord {
  /** When it began, in milliseconds since 1970. */
  readonly wall: number;
  readonly service: string;
  /** The client's address, or `unix`; behind a trusted proxy, the one that it names. */
  readonly client: string;
  /** Who has connected to us. */
  readonly peer: string;
  /** Empty if the head could not be read, like all other fields of the head. */
  readonly method: string;
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly target: string;
  /** `HTTP/1.1`. */
  readonly protocol: string;
  /** The status that the client was sent, or would have been sent if it had stayed: 499 then. */
  readonly status: number;
  /** Bytes of the response's body, and of an upgraded connection. */
  readonly sentBytes: number;
  /** Bytes of the request's body, and of an upgraded connection. */
  readonly receivedBytes: number;
  /** The upstream that was asked last; empty if none was. */
  readonly upstream: string;
  readonly attempts: number;
  /** Milliseconds from the end of the request's head to the last byte of the response. */
  readonly totalMs: number;
  /** The same to the head of the upstream's response; undefined without one. */
  readonly firstByteMs: number | undefined;
  /** The part of it that was spent waiting for an upstream. */
  readonly heldMs: number;
  /** Why it failed, like `connect-refused`; `done` if it did not. */
  readonly outcome: string;
  readonly requestId: string;
  readonly referer: string;
  readonly userAgent: string;
}

/** Longer text is cut, so that a line has a maximum. */
const TARGET_MAX = 8 * 1024;
const TEXT_MAX = 1024;

/** One line without its end. */
export function accessLine(record: AccessRecord, format: AccessFormat): string {
  return format === "json" ? jsonLine(record) : combinedLine(record);
}

function jsonLine(r: AccessRecord): string {
  const { wall, service, client, method, scheme, host, protocol, status, attempts, outcome } = r;
  const text = (value: string, max = TEXT_MAX) =>
    value === "" ? null : shortened(withoutPassword(value), max);
  return JSON.stringify({
    time: isoTime(wall),
    service,
    client,
    peer: r.peer,
    method: text(method),
    scheme,
    host: text(host),
    target: text(r.target, TARGET_MAX),
    protocol: text(protocol),
    status,
    bytes: r.sentBytes,
    request_bytes: r.receivedBytes,
    upstream: text(r.upstream),
    attempts,
    total_ms: rounded(r.totalMs),
    first_byte_ms: r.firstByteMs === undefined ? null : rounded(r.firstByteMs),
    held_ms: rounded(r.heldMs),
    outcome,
    request_id: text(r.requestId),
    referer: text(r.referer),
    user_agent: text(r.userAgent),
  });
}

/** The combined format of Apache and nginx, followed by further fields. Seconds have three digits. */
function combinedLine(r: AccessRecord): string {
  const text = (value: string, max = TEXT_MAX) =>
    value === "" ? "-" : escaped(shortened(withoutPassword(value), max));
  const request = r.method === ""
    ? "-"
    : `${text(r.method)} ${text(r.target, TARGET_MAX)} ${r.protocol}`;
  const firstByte = r.firstByteMs === undefined ? "-" : seconds(r.firstByteMs);
  return `${r.client} - - [${commonTime(r.wall)}] "${request}" ${r.status} ${r.sentBytes} ` +
    `"${text(r.referer)}" "${text(r.userAgent)}" service=${r.service} ` +
    `upstream="${text(r.upstream)}" attempts=${r.attempts} total=${seconds(r.totalMs)} ` +
    `first_byte=${firstByte} held=${seconds(r.heldMs)} outcome=${r.outcome} ` +
    `host="${text(r.host)}" request_id="${text(r.requestId)}"`;
}

function shortened(text: string, max: number): string {
  return text.length <= max ? text : `${text.slice(0, max)}...`;
}

/** User name and password of a URL are masked: a target in absolute form, or a `Referer`, may hold them. */
function withoutPassword(text: string): string {
  return text.includes("@") ? text.replaceAll(/\/\/[^/\s?#]*@/g, "//***@") : text;
}

/** As nginx does: what could end the quotes or the line, or is not ASCII, becomes `\xHH`. */
function escaped(text: string): string {
  return UNSAFE.test(text)
    ? text.replaceAll(
      UNSAFE_ALL,
      (char) => `\\x${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`,
    )
    : text;
}

// deno-lint-ignore no-control-regex -- these are what is looked for
const UNSAFE = /[\x00-\x1f"\\\x7f-\xff]/;
const UNSAFE_ALL = new RegExp(UNSAFE, "g");

function rounded(ms: number): number {
  return Math.max(0, Math.round(ms * 1_000) / 1_000);
}

function seconds(ms: number): string {
  // `toFixed` costs as much as the rest of the line.
  const whole = Math.max(0, Math.round(ms));
  return `${Math.floor(whole / 1_000)}.${threeDigits(whole % 1_000)}`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
/** The second that was printed last, in both formats: most lines are of the same one as the line before. */
let lastSecond = NaN;
let lastCommon = "";
let lastIso = "";

/** `28/Nov/2026:08:00:00 +0000`, in UTC. */
function commonTime(wall: number): string {
  printSecond(wall);
  return lastCommon;
}

/** `2026-11-28T08:00:00.250Z`. */
function isoTime(wall: number): string {
  printSecond(wall);
  return `${lastIso}.${threeDigits(Math.floor(wall) - lastSecond * 1_000)}Z`;
}

function printSecond(wall: number): void {
  const second = Math.floor(wall / 1_000);
  if (second === lastSecond) return;
  const iso = new Date(second * 1_000).toISOString();
  lastSecond = second;
  lastIso = iso.slice(0, 19);
  const month = MONTHS[Number(iso.slice(5, 7)) - 1];
  lastCommon = `${iso.slice(8, 10)}/${month}/${iso.slice(0, 4)}:${iso.slice(11, 19)} +0000`;
}

function threeDigits(number: number): string {
  return number < 10 ? `00${number}` : number < 100 ? `0${number}` : `${number}`;
}
