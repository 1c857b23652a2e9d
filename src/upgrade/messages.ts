/**
 * What the running process and the new one say to each other in an upgrade. A message is a line of JSON; the bytes of
 * a connection follow after the line, and its descriptors come with the message.
 *
 *     new    hello     I am version X, process N
 *     old    welcome   or refused; then the listening sockets, and the lock of the state folder
 *     new    ready     everything that can fail has been done; or failed
 *     old    memory    for each service, when nothing is under way any more; then take
 *     new    took      the services are there and wait; or failed
 *     old    go        from here on the new process decides, and the old one only ends what it has begun
 *     old    parcel    a connection, and got from the new one for each; then end
 *
 * Until `go` the old process serves and can go on at any time as if nothing had happened. The new one begins
 * after `go`; or, once it has said `took`, when the old one is gone.
 */
import type { PassedListener } from "../net/handover.ts";

/** Both processes must speak the same version of this protocol. It changes when a message does. */
export const PROTOCOL = 1;

/** A listener without its descriptor, which comes with the message, in the same order. */
export type NamedListener = Omit<PassedListener, "descriptor">;

/** One message. */
export type UpgradeMessage =
  | {
    readonly type: "hello";
    readonly protocol: number;
    readonly version: string;
    readonly pid: number;
  }
  | {
    readonly type: "welcome";
    readonly protocol: number;
    readonly version: string;
    readonly pid: number;
    /** The state folder, if there is one; the descriptor of its lock comes with the message. */
    readonly stateDir: string | null;
    /** How many messages with listeners follow. */
    readonly listenerMessages: number;
  }
  | { readonly type: "listeners"; readonly listeners: readonly NamedListener[] }
  | { readonly type: "refused"; readonly reason: string }
  | { readonly type: "failed"; readonly lines: readonly string[] }
  | { readonly type: "ready" }
  | { readonly type: "memory"; readonly service: string; readonly text: string }
  | { readonly type: "take" }
  | { readonly type: "took" }
  | { readonly type: "go" }
  | {
    readonly type: "parcel";
    readonly id: number;
    readonly service: string;
    readonly kind: string;
  }
  | { readonly type: "got"; readonly id: number; readonly isTaken: boolean }
  | { readonly type: "end" };

/** The message of one type. */
export type MessageOf<T extends UpgradeMessage["type"]> = Extract<UpgradeMessage, { type: T }>;

const NEWLINE = 10;
const encoder = new TextEncoder();
const decoder = new TextDecoder();

type Check = (value: unknown) => boolean;
const isText: Check = (value) => typeof value === "string";
const isNumber: Check = (value) => typeof value === "number" && Number.isSafeInteger(value);
const isTexts: Check = (value) => Array.isArray(value) && value.every(isText);
const isTextOrNull: Check = (value) => value === null || isText(value);

/** The fields of each type. */
const FIELDS: { readonly [T in UpgradeMessage["type"]]: Readonly<Record<string, Check>> } = {
  hello: { protocol: isNumber, version: isText, pid: isNumber },
  welcome: {
    protocol: isNumber,
    version: isText,
    pid: isNumber,
    stateDir: isTextOrNull,
    listenerMessages: isNumber,
  },
  listeners: { listeners: (value) => Array.isArray(value) && value.every(isListener) },
  refused: { reason: isText },
  failed: { lines: isTexts },
  ready: {},
  memory: { service: isText, text: isText },
  take: {},
  took: {},
  go: {},
  parcel: { id: isNumber, service: isText, kind: isText },
  got: { id: isNumber, isTaken: (value) => typeof value === "boolean" },
  end: {},
};

function isListener(value: unknown): boolean {
  const { address, owner, isLent } = (value ?? {}) as Record<string, unknown>;
  const { is, name } = (owner ?? {}) as Record<string, unknown>;
  const isOwner = is === "admin" || is === "control" || (is === "service" && isText(name));
  return isText(address) && isOwner && (isLent === undefined || typeof isLent === "boolean");
}

/** The bytes of a message. */
export function encodeMessage(
  message: UpgradeMessage,
  content: Uint8Array = new Uint8Array(),
): Uint8Array<ArrayBuffer> {
  const line = encoder.encode(`${JSON.stringify(message)}\n`);
  const bytes = new Uint8Array(line.length + content.length);
  bytes.set(line);
  bytes.set(content, line.length);
  return bytes;
}

/** A message, and the bytes after its line; undefined for bytes that are no message of this protocol. */
export function decodeMessage(
  bytes: Uint8Array<ArrayBuffer>,
): { readonly message: UpgradeMessage; readonly content: Uint8Array<ArrayBuffer> } | undefined {
  const end = bytes.indexOf(NEWLINE);
  if (end === -1) return undefined;
  try {
    const message = JSON.parse(decoder.decode(bytes.subarray(0, end)));
    const type = message?.type;
    if (typeof type !== "string" || !Object.hasOwn(FIELDS, type)) return undefined;
    const fields = Object.entries(FIELDS[type as UpgradeMessage["type"]]);
    if (!fields.every(([name, check]) => check(message[name]))) return undefined;
    return { message, content: bytes.subarray(end + 1) };
  } catch {
    return undefined;
  }
}
