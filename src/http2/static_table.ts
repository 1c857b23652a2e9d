/** The static table of HPACK, RFC 7541 appendix A. Its first entry has the index 1. */
import type { Bytes } from "../base/bytes.ts";

/** A field as tables keep it. */
export interface TableEntry {
  readonly name: Bytes;
  readonly value: Bytes;
}

const TEXT = `:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate`;

const NONE: TableEntry = { name: new Uint8Array(0), value: new Uint8Array(0) };

/** The entries; the place 0 is not used. */
export const STATIC_TABLE: readonly TableEntry[] = [NONE, ...TEXT.split("\n").map(entryOf)];

/** How many entries it has. */
export const STATIC_COUNT = STATIC_TABLE.length - 1;

function entryOf(line: string): TableEntry {
  const [, name = "", value = ""] = /^(\S+) ?(.*)$/.exec(line)!;
  const encoder = new TextEncoder();
  return { name: encoder.encode(name), value: encoder.encode(value) };
}

/** By the length of the name, then in order: the indexes of entries, one for each name. */
const BY_LENGTH: readonly (readonly number[])[] = namesByLength();

function namesByLength(): readonly (readonly number[])[] {
  const byLength: number[][] = [];
  for (let index = 1; index <= STATIC_COUNT; index++) {
    const { name } = STATIC_TABLE[index]!;
    const isKnown = index > 1 && sameBytes(STATIC_TABLE[index - 1]!.name, name);
    if (!isKnown) (byLength[name.length] ??= []).push(index);
  }
  return byLength;
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** The index of an entry whose name are the bytes from `start` to `end`, which are in lower case; 0 if there is none. */
export function staticNameIndex(bytes: Uint8Array, start: number, end: number): number {
  const candidates = BY_LENGTH[end - start];
  if (candidates === undefined) return 0;
  for (const index of candidates) {
    const { name } = STATIC_TABLE[index]!;
    let i = 0;
    while (i < name.length && name[i] === bytes[start + i]) i++;
    if (i === name.length) return index;
  }
  return 0;
}
