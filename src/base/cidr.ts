/** Networks in CIDR notation (RFC 4632, RFC 4291 section 2.3), and sets of them. Pure. */
import { ConfigError, type Parsed } from "./config_error.ts";
import { ipv6Of, parseIp } from "./ip.ts";

/** One network. Those of IPv4 are kept as the mapped addresses of IPv6, so that there is one kind only. */
export interface Network {
  /** The operator's text. */
  readonly text: string;
  /** 16 bytes; all bits after the prefix are zero. */
  readonly bytes: readonly number[];
  /** Length of the prefix in bits, 0 to 128. */
  readonly bits: number;
}

const EXPECTED = "an address or a network like 10.0.0.0/8 or 2001:db8::/32";

/** Reads `192.0.2.0/24`, `2001:db8::/32` or a single address. Bits after the prefix must be zero. */
export function parseNetwork(text: string): Parsed<Network> {
  const [, address = "", length] = /^([^/]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const ip = parseIp(address);
  if (ip === undefined) return new ConfigError(EXPECTED);
  const size = ip.length * 8;
  const own = length === undefined ? size : Number(length);
  if (own > size) return new ConfigError(`${EXPECTED}, with at most ${size} bits`);
  const bits = 128 - size + own;
  const bytes = ipv6Of(ip);
  const masked = bytes.map((byte, at) => byte & maskAt(at, bits));
  if (masked.some((byte, at) => byte !== bytes[at])) {
    return new ConfigError("a network whose address has no bits behind its prefix");
  }
  return { text, bytes, bits };
}

/** The bits of byte number `at` that belong to a prefix of this length. */
function maskAt(at: number, bits: number): number {
  return 0xff << Math.max(0, Math.min(8, (at + 1) * 8 - bits)) & 0xff;
}

/** Networks that an address may be in. */
export class Networks {
  readonly #list: readonly Network[];
  /** The last address and its answer, since many requests come from one connection. */
  #last = "";
  #isLast = false;

  constructor(list: readonly Network[]) {
    this.#list = list;
  }

  /** True if the address, as text, is in one of them. A scope (`%eth0`) does not count; `unix` is in none. */
  has(address: string): boolean {
    if (this.#list.length === 0) return false;
    if (address === this.#last) return this.#isLast;
    const scope = address.indexOf("%");
    const ip = parseIp(scope < 0 ? address : address.slice(0, scope));
    this.#last = address;
    this.#isLast = ip !== undefined && this.#holds(ipv6Of(ip));
    return this.#isLast;
  }

  #holds(ip: readonly number[]): boolean {
    return this.#list.some(({ bytes, bits }) => {
      for (let at = 0; at * 8 < bits; at++) {
        if ((ip[at]! & maskAt(at, bits)) !== bytes[at]) return false;
      }
      return true;
    });
  }
}
