/**
 * The kinds of values that exist only in HTTP mode: upstreams as URLs, folders or pages, and status codes.
 * The rules of `kinds.ts` apply: nothing throws, and printed text never contains passwords.
 */
import { type Address } from "../base/address.ts";
import { ConfigError, type Parsed } from "../base/config_error.ts";
import type { StatusRange } from "../base/status_range.ts";
import {
  joinPath,
  maskCredentials,
  type OptionKind,
  quote,
  textKind,
  type Written,
} from "./kinds.ts";

/** An upstream of HTTP mode that is a server, described by a URL. */
export interface UrlTarget {
  readonly kind: "url";
  /** The operator's text, with user name and password masked. */
  readonly written: string;
  /** The upstream's identity: `written`, followed by a number if an earlier upstream has the same text. */
  readonly name: string;
  /** Scheme http or https; the path is the base path; may hold user and password. */
  readonly url: URL;
  /** Where to connect to. */
  readonly address: Address;
  /** The `Host` to send instead of the URL's own. */
  readonly host: string | undefined;
  /** Headers to set on each request, names as written. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** An upstream of HTTP mode: a server, a folder of files, or one page for everything. */
export type Target = UrlTarget | {
  readonly kind: "folder" | "page";
  readonly written: string;
  readonly name: string;
  readonly path: string;
};

const EXPECTED_URL = "a URL like https://app.example.com, without query or fragment";
const EXPECTED_TARGET = `${EXPECTED_URL}, or file:///FOLDER, or page:FILE`;

/** An HTTP upstream that must be a server. */
export const serverTarget: OptionKind<UrlTarget> = targetKind((text) =>
  parseServer(text, EXPECTED_URL)
);

/** An HTTP upstream of any of the three sorts. */
export const anyTarget: OptionKind<Target> = targetKind<Target>((text) => {
  if (text.startsWith("page:")) {
    const path = text.slice("page:".length);
    if (path === "") return new ConfigError("page: and a file");
    return { kind: "page", written: text, name: text, path };
  }
  return text.startsWith("file:") ? parseFolder(text) : parseServer(text, EXPECTED_TARGET);
});

function targetKind<T extends Target>(parse: (text: string) => Parsed<T>): OptionKind<T> {
  const schema = {
    anyOf: [{ type: "string" }, {
      type: "object",
      required: ["url"],
      additionalProperties: false,
      properties: {
        url: { type: "string" },
        host: { type: "string" },
        headers: {
          type: "object",
          additionalProperties: { type: ["string", "number", "boolean"] },
        },
      },
    }],
  };
  const read = (written: Written): Parsed<T> => {
    if (typeof written === "string") return parse(written.trim());
    if (written === null || Array.isArray(written)) {
      return new ConfigError("a URL, or url: with its own");
    }
    const { url, host, headers, ...unknown } = written as Record<string, Written>;
    if (Object.keys(unknown).length > 0 || typeof url !== "string") {
      return new ConfigError(`url:, with host: and headers: if wanted, and nothing else`);
    }
    const target = parse(url.trim());
    if (target instanceof ConfigError) return target;
    if (target.kind !== "url") {
      return new ConfigError("a server's URL where host: or headers: stands");
    }
    return withExtras(target, host ?? null, headers ?? null) as Parsed<T>;
  };
  return { metavar: "URL", read, print: printTarget, schema, within: targetWithin };
}

/** Only a page may have a relative path. Its name remains the operator's text. */
function targetWithin<T extends Target>(target: T, folder: string): T {
  return target.kind === "page" ? { ...target, path: joinPath(folder, target.path) } : target;
}

function parseServer(text: string, expected: string): Parsed<UrlTarget> {
  const url = URL.parse(text);
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (url === null || !isHttp || /[?#\s]/.test(text)) return new ConfigError(expected);
  if (!isDecodable(url.username) || !isDecodable(url.password)) {
    return new ConfigError(
      "each % before the @ to be the first of three characters (%25 stands for one)",
    );
  }
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  if (port === 0) return new ConfigError(expected);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const address: Address = { kind: "tcp", host, port };
  const written = maskCredentials(text);
  return { kind: "url", written, name: written, url, address, host: undefined, headers: [] };
}

function parseFolder(text: string): Parsed<Target> {
  const url = URL.parse(text);
  if (url === null || url.host !== "" || !text.startsWith("file:///") || /[?#]/.test(text)) {
    return new ConfigError("file:/// and the path of a folder");
  }
  return isDecodable(url.pathname)
    ? { kind: "folder", written: text, name: text, path: decodeURIComponent(url.pathname) }
    : new ConfigError("file:/// and a path whose % stand for bytes of UTF-8");
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    // Only a stray % reaches this place: there is no function that validates without decoding.
    return false;
  }
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~\w]+$/; // token, RFC 9110 5.6.2
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/; // RFC 9110 5.5
/**
 * Fields that describe one connection or one message (RFC 9110 section 7.6.1), where a fixed value is
 * wrong.
 */
const NOT_SETTABLE =
  /^(connection|content-length|expect|http2-settings|keep-alive|proxy-connection|te|trailer|transfer-encoding|upgrade)$/i;
const HOST_VALUE = /^[\w.-]+(:\d{1,5})?$|^\[[\da-f:.]+\](:\d{1,5})?$/i;

function withExtras(target: UrlTarget, host: Written, headers: Written): Parsed<UrlTarget> {
  if (host !== null && (typeof host !== "string" || !HOST_VALUE.test(host))) {
    return new ConfigError("a host name, with a port if wanted, behind host:");
  }
  if (headers !== null && (typeof headers === "string" || Array.isArray(headers))) {
    return new ConfigError("header names with their values under headers:");
  }
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(headers ?? {})) {
    const isGood = HEADER_NAME.test(name) && typeof value === "string" && HEADER_VALUE.test(value);
    const wrong = isGood ? wrongName(name, pairs) : "a header name and its value";
    if (wrong !== undefined) return new ConfigError(wrong, `header ${quote(name)}`);
    pairs.push([name, value as string]);
  }
  return { ...target, host: host ?? undefined, headers: pairs };
}

/** What to use instead of a header with this name, or undefined if it may be set. */
function wrongName(
  name: string,
  others: readonly (readonly [string, string])[],
): string | undefined {
  const lower = name.toLowerCase();
  if (lower === "host") return "it as host: beside url:";
  if (NOT_SETTABLE.test(name)) {
    return "none of those that each message and connection sets for itself";
  }
  const isDouble = others.some(([other]) => other.toLowerCase() === lower);
  return isDouble ? "each name once, whatever its case" : undefined;
}

/** Header values may be secrets, so only the names are printed. */
function printTarget(target: Target): string {
  if (target.kind !== "url") {
    return target.kind === "page" ? `page:${target.path}` : target.written;
  }
  const host = target.host === undefined ? "" : ` host=${target.host}`;
  const headers = target.headers.map(([name]) => ` ${name}=***`).join("");
  return `${target.written}${host}${headers}`;
}

/** The URL to which notifications are sent. */
export const reportUrl: OptionKind<URL> = textKind<URL>({
  metavar: "URL",
  parse(text) {
    const url = URL.parse(text);
    const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
    return url !== null && isHttp
      ? url
      : new ConfigError("a URL that begins with http:// or https://");
  },
  print: (url) => maskCredentials(url.href),
});

/** One range of status codes, or a single one. */
export const statusRange: OptionKind<StatusRange> = textKind<StatusRange>({
  metavar: "CODES",
  parse(text) {
    const parts = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text);
    const from = Number(parts?.[1]);
    const to = Number(parts?.[2] ?? parts?.[1]);
    return parts !== null && from <= to
      ? { from, to }
      : new ConfigError("status codes like 200-399");
  },
  print: ({ from, to }) => from === to ? `${from}` : `${from}-${to}`,
  schema: { type: ["integer", "string"] },
});

/** The same of errors alone. */
export const errorRange: OptionKind<StatusRange> = textKind<StatusRange>({
  metavar: "CODES",
  parse(text) {
    const range = statusRange.read(text);
    return range instanceof ConfigError || range.from >= 400
      ? range
      : new ConfigError("status codes from 400 to 599, like 502");
  },
  print: ({ from, to }) => from === to ? `${from}` : `${from}-${to}`,
  schema: { type: ["integer", "string"] },
});
