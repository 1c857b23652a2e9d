/**
 * Where something listens: `host:port`, `[v6]:port` or `unix:/path`. Pure text in, text out; nothing
 * is resolved here, so a name that does not exist yet is a good address.
 */
import { ConfigError, type Parsed } from "./config_error.ts";

/**
 * A TCP port of a host, or the path of a unix socket. `host` is an IP address or a name, without brackets.
 */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/** All interfaces, IPv6 and IPv4, where the system has both. */
export const ANY_HOST = "::";

/** Bytes in `sun_path` less the closing NUL (unix(7)). macOS has room for four less. */
const UNIX_PATH_MAX = 107;

const EXPECTED = "HOST:PORT, [IPV6]:PORT or unix:/PATH";
const HOST_NAME =
  /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*\.?$/i;
const IPV6 = /^[0-9a-f:.]+(%[\w.-]+)?$/i;

/** Reads a port, 1 to 65535. `allowZero` lets the system choose one, which only a listener may ask for. */
export function parsePort(text: string, allowZero = false): Parsed<number> {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  const least = allowZero ? 0 : 1;
  return port >= least && port <= 65535 ? port : new ConfigError(`a port from ${least} to 65535`);
}

/** Reads one address; port 0 is for listeners. */
export function parseAddress(text: string, allowPortZero = false): Parsed<Address> {
  if (text.startsWith("unix:")) return parseUnix(text.slice("unix:".length));
  const parts = /^(?:\[([^\]]*)\]|([^:[\]]*)):([^:]*)$/.exec(text);
  if (parts === null) return new ConfigError(EXPECTED);
  const [, bracketed, plain, portText] = parts;
  const port = parsePort(portText ?? "", allowPortZero);
  if (port instanceof ConfigError) return new ConfigError(`${EXPECTED} with ${port.expected}`);
  if (bracketed !== undefined) {
    const looksV6 = IPV6.test(bracketed) && bracketed.includes(":");
    return looksV6
      ? { kind: "tcp", host: bracketed, port }
      : new ConfigError("an IPv6 address between [ and ]");
  }
  const host = plain ?? "";
  return HOST_NAME.test(host) ? { kind: "tcp", host, port } : new ConfigError(EXPECTED);
}

function parseUnix(path: string): Parsed<Address> {
  if (path === "" || path.includes("\0")) return new ConfigError("unix: followed by a path");
  if (new TextEncoder().encode(path).length > UNIX_PATH_MAX) {
    return new ConfigError(`a socket path of at most ${UNIX_PATH_MAX} bytes`);
  }
  return { kind: "unix", path };
}

/** Prints an address so that `parseAddress` reads it back. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return `unix:${address.path}`;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${host}:${address.port}`;
}
