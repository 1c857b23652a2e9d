/** Which paths are our own: they are answered by this program in HTTP mode and never forwarded. */

import type { RequestHead } from "../http1/head.ts";

const ROOT = "/__failover";

const HASH = 35;
const PERCENT = 37;
const SLASH = 47;
const QUERY = 63;
const UNDERSCORE = 95;

/** As `isReservedPath`, for a request, whose path becomes a string only if it may be one of ours. */
export function isReserved(head: Pick<RequestHead, "path" | "secondOfPath">): boolean {
  const { secondOfPath } = head;
  return (secondOfPath === UNDERSCORE || secondOfPath === PERCENT) && isReservedPath(head.path);
}

/**
 * True for `/__failover` and for all paths below it, also if letters of it are percent-encoded (RFC 3986
 * section 2.3: the two forms are equivalent). `path`: path and query as they were sent. Nearly all paths
 * are decided by their second character.
 */
export function isReservedPath(path: string): boolean {
  const second = path.charCodeAt(1);
  if (second !== UNDERSCORE && second !== PERCENT) return false;
  let at = 0;
  for (let i = 0; i < ROOT.length; i++) {
    let code = path.charCodeAt(at++);
    // A slash that is encoded is data and separates nothing (RFC 3986 section 2.2).
    if (code === PERCENT && i > 0) {
      code = Number.parseInt(path.slice(at, at + 2), 16);
      at += 2;
    }
    if (code !== ROOT.charCodeAt(i)) return false;
  }
  const end = path.charCodeAt(at);
  return at >= path.length || end === SLASH || end === QUERY || end === HASH;
}
