/**
 * Compares addresses with those on which the proxy listens. An upstream that is its service's own listening
 * address would send all traffic back to the proxy in a loop, and two listeners cannot share an address.
 * No names are looked up except `localhost`, whose addresses are known.
 */
import type { Address } from "../base/address.ts";

/** Returns the IP addresses of this machine's interfaces, without zone identifiers. */
export type Interfaces = () => readonly string[];

/** True if a connection to `upstream` ends at `listener`. */
export function isOwn(upstream: Address, listener: Address, interfaces: Interfaces): boolean {
  if (upstream.kind === "unix" || listener.kind === "unix") {
    return upstream.kind === "unix" && listener.kind === "unix" && upstream.path === listener.path;
  }
  // With port 0 the system picks a free port, which no upstream can have named in advance.
  if (upstream.port !== listener.port || listener.port === 0) return false;
  const [to, at] = [canonical(upstream.host), canonical(listener.host)];
  // A connection to the wildcard address goes to this machine (ip(7)).
  const isHere = to === "localhost" || isLoopback(to) || isWildcard(to);
  if (!isWildcard(at)) {
    const isName = to === "localhost" || isWildcard(to);
    return to === at || (isName && (at === "127.0.0.1" || at === "::1" || at === "localhost"));
  }
  // "0.0.0.0" does not accept IPv6, whereas "::" accepts IPv4 as well (ipv6(7)).
  if (at === "0.0.0.0" && to.includes(":") && to !== "::") return false;
  return isHere || interfaces().some((each) => canonical(each) === to);
}

/** True if two listeners conflict: the same address, or one is the wildcard that includes the other. */
export function collide(one: Address, other: Address): boolean {
  if (one.kind === "unix" || other.kind === "unix") {
    return one.kind === "unix" && other.kind === "unix" && one.path === other.path;
  }
  // With port 0 the system picks a different free port for each.
  if (one.port !== other.port || one.port === 0) return false;
  const [a, b] = [listening(one.host), listening(other.host)];
  // "::" includes IPv4; "0.0.0.0" is IPv4 only (ipv6(7)).
  const takes = (x: string, y: string) => x === "::" || (x === "0.0.0.0" && !y.includes(":"));
  return a === b || takes(a, b) || takes(b, a);
}

/** The IP address that a listener with this host name binds. */
function listening(host: string): string {
  const address = canonical(host);
  return address === "localhost" ? "127.0.0.1" : address;
}

/** Canonical form of an address: `127.1` becomes `127.0.0.1`, and `::ffff:1.2.3.4` becomes IPv4. */
function canonical(host: string): string {
  const bare = host.replace(/%.*$/, "").replace(/\.$/, "").toLowerCase();
  const text = URL.parse(`http://${bare.includes(":") ? `[${bare}]` : bare}`)?.hostname ?? bare;
  const address = text.replace(/^\[(.*)\]$/, "$1");
  const mapped = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(address);
  if (mapped === null) return address;
  const [high, low] = [parseInt(mapped[1]!, 16), parseInt(mapped[2]!, 16)];
  return [high >> 8, high & 255, low >> 8, low & 255].join(".");
}

function isLoopback(address: string): boolean {
  return address === "::1" || /^127\.\d+\.\d+\.\d+$/.test(address);
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}
