/**
 * The kinds of values that options have: how each is read from the operator's text, printed, and described
 * in a schema. A kind never throws: it returns a `ConfigError` with what it expected, and `resolve.ts` adds
 * the option and where the value came from.
 *
 * Files are read without guessing types, so `8080`, `"8080"` and `yes` are all plain text here.
 */
import { type Address, ANY_HOST, formatAddress, parseAddress, parsePort } from "../base/address.ts";
import { type Network, parseNetwork } from "../base/cidr.ts";
import { formatBytes, parseBytes } from "../base/bytes.ts";
import { formatDuration, parseDuration } from "../base/duration.ts";
import { ConfigError, type Parsed } from "../base/config_error.ts";

/** An uninterpreted value from a file, an environment variable or a flag. */
export type Written = string | null | readonly Written[] | { readonly [key: string]: Written };

/** How the values of some options are read, printed and described. */
export interface OptionKind<T> {
  /** Placeholder for the value in `--help`; empty for a flag that takes no value. */
  readonly metavar: string;
  read(written: Written): Parsed<T>;
  /** The value as text that `read` accepts, with passwords masked. */
  print(value: T): string;
  /** True if the option holds several values; in text they are separated by commas. */
  readonly isList?: true;
  /** JSON schema of the value in a file. */
  readonly schema: Readonly<Record<string, unknown>>;
  /** The value with relative paths resolved from `folder`; missing for kinds that hold no path. */
  readonly within?: (value: T, folder: string) => T;
}

const TEXT = { type: "string" };
const NUMBER_OR_TEXT = { type: ["number", "string"] };

interface TextKind<T> {
  readonly metavar: string;
  readonly parse: (text: string) => Parsed<T>;
  readonly print?: (value: T) => string;
  readonly schema?: Readonly<Record<string, unknown>>;
}

/** Makes a kind whose value is one piece of text in every source. */
export function textKind<T>(
  { metavar, parse, print = String, schema = TEXT }: TextKind<T>,
): OptionKind<T> {
  const read = (written: Written) =>
    typeof written === "string" ? parse(written.trim()) : new ConfigError(`one value (${metavar})`);
  return { metavar, read, print, schema };
}

/** A duration in milliseconds, at least `leastMs`. */
export function duration(leastMs = 0): OptionKind<number> {
  return textKind({
    metavar: "TIME",
    parse(text) {
      const ms = parseDuration(text);
      if (ms instanceof ConfigError || ms >= leastMs) return ms;
      return new ConfigError(`a duration of at least ${formatDuration(leastMs)}`);
    },
    print: formatDuration,
    schema: NUMBER_OR_TEXT,
  });
}

/** A whole number within bounds. */
export function count(least: number, most = 1_000_000): OptionKind<number> {
  return textKind({
    metavar: "N",
    parse(text) {
      const value = /^\d{1,15}$/.test(text) ? Number(text) : -1;
      return value >= least && value <= most
        ? value
        : new ConfigError(`a whole number from ${least} to ${most}`);
    },
    schema: { type: ["integer", "string"], minimum: least, maximum: most },
  });
}

/** Permission bits of a file, in octal as chmod(1) has them. */
export const fileMode: OptionKind<number> = textKind({
  metavar: "MODE",
  parse: (text) =>
    /^0?[0-7]{3}$/.test(text)
      ? parseInt(text, 8)
      : new ConfigError("three octal digits, like 0660"),
  print: (value) => value.toString(8).padStart(4, "0"),
  schema: { type: ["integer", "string"], pattern: "^0?[0-7]{3}$" },
});

/** A whole number within bounds, or `auto`. */
export function countOrAuto(least: number, most: number): OptionKind<number | "auto"> {
  const number = count(least, most);
  return textKind<number | "auto">({
    metavar: "N|auto",
    parse(text) {
      const value = text === "auto" ? text : number.read(text);
      return value instanceof ConfigError ? new ConfigError(`auto or ${value.expected}`) : value;
    },
    schema: { type: ["integer", "string"], minimum: least, maximum: most },
  });
}

/** A size in bytes. */
export const size: OptionKind<number> = textKind({
  metavar: "SIZE",
  parse: parseBytes,
  print: formatBytes,
  schema: NUMBER_OR_TEXT,
});

/** A size in bytes within bounds. */
export function sizeWithin(least: number, most: number): OptionKind<number> {
  return {
    ...size,
    read(written) {
      const bytes = size.read(written);
      return bytes instanceof ConfigError || (bytes >= least && bytes <= most)
        ? bytes
        : new ConfigError(`a size from ${formatBytes(least)} to ${formatBytes(most)}`);
    },
  };
}

/** A size in bytes or a time in seconds; the unit says which, as in `16MB` and `10s`. */
export type SizeOrTime = { readonly bytes: number } | { readonly seconds: number };

/** A size or a time, always with a unit: `5m` are minutes, `5MB` a size. */
export const sizeOrTime: OptionKind<SizeOrTime> = textKind<SizeOrTime>({
  metavar: "SIZE|TIME",
  parse(text) {
    const expected = new ConfigError("a size like 16MB or a time like 10s");
    if (/b$/i.test(text)) {
      const bytes = parseBytes(text);
      return bytes instanceof ConfigError ? expected : { bytes };
    }
    const ms = /\d$/.test(text) ? expected : parseDuration(text);
    return ms instanceof ConfigError ? expected : { seconds: ms / 1_000 };
  },
  print: (value) =>
    "bytes" in value ? formatBytes(value.bytes) : formatDuration(value.seconds * 1_000),
});

const ON = ["on", "true", "yes", "1"];
const OFF = ["off", "false", "no", "0"];

/** Yes or no, written out behind the flag. */
export const onOff: OptionKind<boolean> = textKind({
  metavar: "on|off",
  parse(text) {
    if (ON.includes(text.toLowerCase())) return true;
    return OFF.includes(text.toLowerCase()) ? false : new ConfigError("on or off");
  },
  print: (value) => value ? "on" : "off",
  schema: { type: ["boolean", "string"] },
});

/** Yes or no; the flag without a value means yes. */
export const flag: OptionKind<boolean> = { ...onOff, metavar: "" };

/** One of a few words. */
export function choice<const W extends string>(...words: readonly W[]): OptionKind<W> {
  return textKind<W>({
    metavar: words.join("|"),
    parse: (text) => words.find((word) => word === text) ?? new ConfigError(orList(words)),
    schema: { enum: words },
  });
}

/** Text that matches a pattern; `expected` completes the sentence "expected …" of the error. */
export function pattern(metavar: string, allowed: RegExp, expected: string): OptionKind<string> {
  return textKind({
    metavar,
    parse: (text) => allowed.test(text) ? text : new ConfigError(expected),
  });
}

/** A path to a file or folder. `app/files.ts` checks later whether it exists and can be used. */
export const path: OptionKind<string> = {
  ...pattern("PATH", /^[^\0]+$/, "a path"),
  within: (value, folder) => joinPath(folder, value),
};

/** A path, or `off`. A file of that name is written `./off`. */
export const pathOrOff: OptionKind<string> = {
  ...pattern("PATH|off", /^\P{Cc}+$/u, "a path, or off"),
  within: (value, folder) => value === "off" ? value : joinPath(folder, value),
};

/** A path, `-` for stdout, or `off`. Files of these names are written `./off` and `./-`. */
export const pathOrStdout: OptionKind<string> = {
  ...pattern("off|-|PATH", /^\P{Cc}+$/u, "a path, - or off"),
  within: (value, folder) => value === "off" || value === "-" ? value : joinPath(folder, value),
};

/** Resolves a relative path from `folder`. */
export function joinPath(folder: string, path: string): string {
  // On Windows a path may begin with a drive or a backslash.
  if (folder === "" || /^([A-Za-z]:|[\\/])/.test(path)) return path;
  return `${folder.replace(/\/$/, "")}/${path.replace(/^(\.\/+)+/, "")}`;
}

function socketWithin(address: Address, folder: string): Address {
  return address.kind === "tcp" ? address : { ...address, path: joinPath(folder, address.path) };
}

/** Where to listen; port 0 lets the system choose one. */
export const listener: OptionKind<Address> = {
  ...textKind({
    metavar: "ADDR:PORT",
    parse: (text) => parseAddress(text, true),
    print: formatAddress,
  }),
  within: socketWithin,
};

/** A port number, read as the address that listens on this port of all interfaces. */
export const anyInterfacePort: OptionKind<Address> = textKind({
  metavar: "N",
  parse(text): Parsed<Address> {
    const port = parsePort(text, true);
    return port instanceof ConfigError ? port : { kind: "tcp", host: ANY_HOST, port };
  },
  print: (address) => address.kind === "tcp" ? String(address.port) : formatAddress(address),
  schema: { type: ["integer", "string"] },
});

/** One upstream of TCP mode. */
export interface Host {
  /** The operator's text, which is the upstream's identity. */
  readonly name: string;
  readonly address: Address;
}

/** An upstream of TCP mode: `HOST:PORT` or `unix:/PATH`. */
export const host: OptionKind<Host> = {
  ...textKind({
    metavar: "HOST:PORT",
    parse(text): Parsed<Host> {
      const address = parseAddress(text);
      return address instanceof ConfigError ? address : { name: text, address };
    },
    print: (value) => value.name,
  }),
  // Check programs and triggers receive the name, so it must lead them to the same socket.
  within: ({ name, address }, folder) =>
    address.kind === "tcp" ? { name, address } : unixHost(socketWithin(address, folder)),
};

function unixHost(address: Address): Host {
  return { name: formatAddress(address), address };
}

/** Several values, separated by commas in text; in a file also a YAML list. Duplicates are refused. */
export function list<T>(item: OptionKind<T>, metavar: string): OptionKind<readonly T[]> {
  function read(written: Written): Parsed<readonly T[]> {
    const parts = typeof written === "string"
      ? written.split(",").map((part) => part.trim()).filter((part) => part !== "")
      : Array.isArray(written)
      ? written as readonly Written[]
      : [written];
    const values: T[] = [];
    const wrong: ConfigError[] = [];
    const seen = new Set<string>();
    for (const part of parts) {
      const value = item.read(part);
      // Printed text hides passwords and headers, and two upstreams may differ in just these.
      const identity = JSON.stringify(value);
      if (value instanceof ConfigError) {
        const isListed = typeof part !== "string" && Array.isArray(written);
        const found = isListed ? `${quote(part)} in a list` : quote(part);
        wrong.push(new ConfigError(value.expected, value.found ?? found));
      } else if (seen.has(identity)) {
        wrong.push(new ConfigError("each one once", `${quote(part)} twice`));
      } else {
        seen.add(identity);
        values.push(value);
      }
    }
    const [first, ...others] = wrong;
    if (first !== undefined) return new ConfigError(first.expected, first.found, others);
    return values.length > 0 ? values : new ConfigError("at least one");
  }
  const schema = { anyOf: [item.schema, { type: "array", items: item.schema, minItems: 1 }] };
  const print = (values: readonly T[]) => values.map(item.print).join(",");
  const { within } = item;
  return {
    metavar,
    read,
    print,
    isList: true,
    schema,
    ...within && { within: (values, folder) => values.map((value) => within(value, folder)) },
  };
}

/** A network in CIDR notation, or one address. */
export const network: OptionKind<Network> = textKind({
  metavar: "CIDR",
  parse: parseNetwork,
  print: (value) => value.text,
});

/** When traffic goes back to an upstream of better rank. */
export type Failback =
  | { readonly kind: "never" | "auto" | "manual" }
  /** After it has been up for this many milliseconds without a break. */
  | { readonly kind: "after"; readonly ms: number };

/** When traffic goes back: `auto`, `manual`, `never`, or a duration. */
export const failback: OptionKind<Failback> = textKind<Failback>({
  metavar: "WHEN",
  parse(text) {
    if (text === "never" || text === "auto" || text === "manual") return { kind: text };
    const ms = parseDuration(text);
    return ms instanceof ConfigError
      ? new ConfigError("never, auto, manual or a duration like 30s")
      : { kind: "after", ms };
  },
  print: (value) => value.kind === "after" ? formatDuration(value.ms) : value.kind,
  schema: NUMBER_OR_TEXT,
});

/**
 * The operator's value for an error line: text in quotes with passwords masked; other values by their
 * type.
 */
export function quote(written: Written): string {
  if (written === null) return "nothing";
  if (Array.isArray(written)) return "a list";
  if (typeof written !== "string") return `a mapping of ${Object.keys(written).join(", ")}`;
  const safe = maskCredentials(written);
  return JSON.stringify(safe.length <= 100 ? safe : `${safe.slice(0, 99)}…`);
}

/** Masks user name and password in URLs. */
export function maskCredentials(text: string): string {
  return text.replaceAll(/\/\/[^/\s,]*@/g, "//***@");
}

function orList(words: readonly string[]): string {
  return `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}
