/**
 * The meaning of the fields of a head for framing, persistence and routing, found in one pass (RFC 9112 sections
 * 3.2, 6 and 9; RFC 9110 sections 7.6.1 and 10.1).
 */
import { Fault } from "../base/fault.ts";
import { type Fields, malformed, type MessageSide } from "./fields.ts";
import { type FramingFields, readCoding, readLength } from "./framing.ts";
import { isHost } from "./host.ts";

/** One flat object, because one is made for each head. */
export class Semantics implements FramingFields {
  /** Value of `Content-Length`, or -1. */
  length = -1;
  /** True if `Transfer-Encoding` is there and is exactly `chunked`. */
  chunked = false;
  /** Options of `Connection`. */
  close = false;
  keepAlive = false;
  connectionUpgrade = false;
  /** True if `Connection` may name other fields. */
  namesFields = false;
  /** Index of the first `Keep-Alive` line, or -1. */
  keepAliveLine = -1;
  /** True if there is an `Authorization` or a `WWW-Authenticate`. */
  login = false;
  /** Index of the `Host` line of a request, or -1. */
  host = -1;
  /** True if `Upgrade` offers anything but HTTP/2. */
  upgrade = false;
  /** True if `TE` names trailers. */
  trailers = false;
  via = false;
  /** True if there is a `Forwarded` or `X-Forwarded-For`. */
  forwarded = false;
  date = false;
  expectsContinue = false;
}

/** Reads the fields of a head; a Fault if they contradict each other or the grammar. */
export function readSemantics(fields: Fields, side: MessageSide, minor: 0 | 1): Semantics | Fault {
  const semantics = new Semantics();
  const count = fields.count;
  for (let i = 0; i < count; i++) {
    const fault = readField(fields, i, side, minor, semantics);
    if (fault !== undefined) return fault;
  }
  // RFC 9112 section 6.1: both at once is how requests are smuggled.
  if (semantics.chunked && semantics.length >= 0) {
    return malformed(side, "Content-Length beside Transfer-Encoding");
  }
  return semantics;
}

function readField(
  fields: Fields,
  i: number,
  side: MessageSide,
  minor: 0 | 1,
  semantics: Semantics,
): Fault | undefined {
  switch (fields.nameLength(i)) {
    case 2:
      if (fields.is(i, "te") && takesTrailers(fields, i)) semantics.trailers = true;
      return;
    case 3:
      if (fields.is(i, "via")) semantics.via = true;
      return;
    case 4:
      if (side === "request") {
        return fields.is(i, "host") ? readHost(fields, i, semantics) : undefined;
      }
      if (fields.is(i, "date")) semantics.date = true;
      return;
    case 6:
      if (side === "response" || !fields.is(i, "expect")) return;
      // RFC 9110 section 10.1.1: from HTTP/1.0 it means nothing.
      if (minor === 0) return;
      if (!fields.valueIs(i, "100-continue")) return new Fault("expectationUnknown");
      semantics.expectsContinue = true;
      return;
    case 7:
      if (fields.is(i, "upgrade") && upgradeOffer(fields, i) !== "") semantics.upgrade = true;
      return;
    case 9:
      if (fields.is(i, "forwarded")) semantics.forwarded = true;
      return;
    case 10:
      if (fields.is(i, "connection")) readConnection(fields, i, semantics);
      else if (semantics.keepAliveLine < 0 && fields.is(i, "keep-alive")) {
        semantics.keepAliveLine = i;
      }
      return;
    case 13:
      if (fields.is(i, "authorization")) semantics.login = true;
      return;
    case 14:
      return fields.is(i, "content-length") ? readLength(fields, i, side, semantics) : undefined;
    case 15:
      if (fields.is(i, "x-forwarded-for")) semantics.forwarded = true;
      return;
    case 16:
      if (fields.is(i, "www-authenticate")) semantics.login = true;
      return;
    case 17:
      if (!fields.is(i, "transfer-encoding")) return;
      return readCoding(fields, i, side, minor, semantics);
  }
}

function readHost(fields: Fields, i: number, semantics: Semantics): Fault | undefined {
  if (semantics.host >= 0) return malformed("request", "more than one Host");
  semantics.host = i;
  if (isHost(fields.bytes, fields.valueStart(i), fields.valueEnd(i))) return;
  return malformed("request", "bad Host");
}

function takesTrailers(fields: Fields, i: number): boolean {
  return fields.valueIs(i, "trailers") || /(^|,)[ \t]*trailers[ \t]*(,|$)/i.test(fields.value(i));
}

/**
 * The protocols that line `i`, an `Upgrade`, offers, without HTTP/2 (`h2c`, which RFC 9113 has taken
 * back); "" if nothing is left.
 */
export function upgradeOffer(fields: Fields, i: number): string {
  const value = fields.value(i);
  if (!/(^|,)[ \t]*h2c?[ \t]*(,|$)/i.test(value)) return value;
  return value.split(",").map((name) => name.trim())
    .filter((name) => name !== "" && !/^h2c?$/i.test(name)).join(", ");
}

function readConnection(fields: Fields, i: number, options: Semantics): void {
  if (fields.valueIs(i, "keep-alive")) options.keepAlive = true;
  else if (fields.valueIs(i, "close")) options.close = true;
  else {
    options.namesFields = true;
    for (const option of fields.value(i).toLowerCase().split(",")) {
      const name = option.trim();
      if (name === "keep-alive") options.keepAlive = true;
      if (name === "close") options.close = true;
      if (name === "upgrade") options.connectionUpgrade = true;
    }
  }
}
