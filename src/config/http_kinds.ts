/**
 * The kinds of value that only HTTP mode knows: upstreams given as URLs, folders or pages, and status
 * codes. Same rules as in `kinds.ts`: nothing throws, passwords never reach a printed text.
 */
import { type Address } from "../base/address.ts";
import { Mistake, type Parsed } from "../base/mistake.ts";
import { type Kind, maskCredentials, textKind, type Written } from "./kinds.ts";

/** An upstream of HTTP mode that is a server. */
export interface UrlTarget {
  readonly kind: "url";
  /** What the operator wrote, with user and password masked; the upstream's identity. */
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
  readonly name: string;
  readonly path: string;
};

const EXPECTED_URL = "a URL like https://app.example.com, without query or fragment";
const EXPECTED_TARGET = `${EXPECTED_URL}, or file:///FOLDER, or page:FILE`;

/** An HTTP upstream that must be a server. */
export const serverTarget: Kind<UrlTarget> = targetKind((text) => parseServer(text, EXPECTED_URL));

/** An HTTP upstream of any sort. */
export const anyTarget: Kind<Target> = targetKind<Target>((text) => {
  if (text.startsWith("page:")) {
    const path = text.slice("page:".length);
    return path === "" ? new Mistake("page: and a file") : { kind: "page", name: text, path };
  }
  return text.startsWith("file:") ? parseFolder(text) : parseServer(text, EXPECTED_TARGET);
});

function targetKind<T extends Target>(parse: (text: string) => Parsed<T>): Kind<T> {
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
      return new Mistake("a URL, or url: with its own");
    }
    const { url, host, headers, ...unknown } = written as Record<string, Written>;
    if (Object.keys(unknown).length > 0 || typeof url !== "string") {
      return new Mistake(`url:, with host: and headers: if wanted, and nothing else`);
    }
    const target = parse(url.trim());
    if (target instanceof Mistake) return target;
    if (target.kind !== "url") return new Mistake("a server's URL where host: or headers: stands");
    return withExtras(target, host ?? null, headers ?? null) as Parsed<T>;
  };
  return { metavar: "URL", read, print: printTarget, schema };
}

function parseServer(text: string, expected: string): Parsed<UrlTarget> {
  const url = URL.parse(text);
  const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
  if (url === null || !isHttp || /[?#\s]/.test(text)) return new Mistake(expected);
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  if (port === 0) return new Mistake(expected);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const address: Address = { kind: "tcp", host, port };
  return { kind: "url", name: maskCredentials(text), url, address, host: undefined, headers: [] };
}

function parseFolder(text: string): Parsed<Target> {
  const url = URL.parse(text);
  if (url === null || url.host !== "" || !text.startsWith("file:///") || /[?#]/.test(text)) {
    return new Mistake("file:/// and the path of a folder");
  }
  try {
    return { kind: "folder", name: text, path: decodeURIComponent(url.pathname) };
  } catch {
    // Only a stray % ends here: there is no function that asks before it decodes.
    return new Mistake("file:/// and a path whose % stand for bytes of UTF-8");
  }
}

const HEADER_NAME = /^[!#$%&'*+\-.^_`|~\w]+$/; // token, RFC 9110 5.6.2
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/; // RFC 9110 5.5
const HOST_VALUE = /^[\w.-]+(:\d{1,5})?$|^\[[\da-f:.]+\](:\d{1,5})?$/i;

function withExtras(target: UrlTarget, host: Written, headers: Written): Parsed<UrlTarget> {
  if (host !== null && (typeof host !== "string" || !HOST_VALUE.test(host))) {
    return new Mistake("a host name, with a port if wanted, behind host:");
  }
  if (headers !== null && (typeof headers === "string" || Array.isArray(headers))) {
    return new Mistake("header names with their values under headers:");
  }
  const pairs: [string, string][] = [];
  for (const [name, value] of Object.entries(headers ?? {})) {
    const isGood = HEADER_NAME.test(name) && typeof value === "string" && HEADER_VALUE.test(value);
    if (!isGood) return new Mistake(`a header name and its value in place of "${name}"`);
    pairs.push([name, value]);
  }
  return { ...target, host: host ?? undefined, headers: pairs };
}

/** Header values may be secrets, so only their names are told. */
function printTarget(target: Target): string {
  if (target.kind !== "url") return target.name;
  const host = target.host === undefined ? "" : ` host=${target.host}`;
  const headers = target.headers.map(([name]) => ` ${name}=***`).join("");
  return `${target.name}${host}${headers}`;
}

/** The URL reports are sent to. */
export const reportUrl: Kind<URL> = textKind<URL>({
  metavar: "URL",
  parse(text) {
    const url = URL.parse(text);
    const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
    return url !== null && isHttp ? url : new Mistake("a URL that begins with http:// or https://");
  },
  print: (url) => maskCredentials(url.href),
});

/** Status codes from `from` to `to`, both included. */
export interface StatusRange {
  readonly from: number;
  readonly to: number;
}

/** One range of status codes, or a single one. */
export const statusRange: Kind<StatusRange> = textKind<StatusRange>({
  metavar: "CODES",
  parse(text) {
    const parts = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text);
    const from = Number(parts?.[1]);
    const to = Number(parts?.[2] ?? parts?.[1]);
    return parts !== null && from <= to ? { from, to } : new Mistake("status codes like 200-399");
  },
  print: ({ from, to }) => from === to ? `${from}` : `${from}-${to}`,
  schema: { type: ["integer", "string"] },
});
