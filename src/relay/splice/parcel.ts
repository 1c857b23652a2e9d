/**
 * A session as one process hands it over to the next: what it is joined to, how far each direction is, and the bytes
 * that were read and not sent yet. Those in a pipe stay there: the pipe itself is handed over. A client without an
 * upstream is handed over alone. Pure.
 *
 * The content is the length of the text (4 bytes, the least significant first), a text of JSON, and the bytes of both
 * directions. A process of another version may have written it, so nothing in it is taken for granted.
 */
import { type Address, formatAddress, parseAddress } from "../../base/address.ts";
import { ConfigError } from "../../base/config_error.ts";
import type { Pipe } from "../../linux/kernel.ts";
import { type Parcel, PARCEL_BYTES_MAX } from "../../net/handover.ts";
import type { ProxiedAddresses } from "../../net/proxy_protocol.ts";
import type { FlowState } from "./flow.ts";

/** The code that can continue such a session, and the form of its content. */
export const SPLICE_PARCEL = "splice";
const FORM = 1;
/** What one flow holds outside a pipe at most: a buffer of `Pools`. */
const FLOW_BYTES_MAX = 64 * 1024;

/** A client that is joined to an upstream, or one that is not yet. */
export interface PassedSession {
  readonly client: number;
  /** Those that a balancer has named (PROXY protocol), in the place of the connection's own. */
  readonly addresses: ProxiedAddresses | undefined;
  readonly joined: PassedJoin | undefined;
}

/** The other side of a session. */
export interface PassedJoin {
  readonly upstream: number;
  readonly upstreamName: string;
  readonly epoch: number;
  /** How long ago a byte last moved, in milliseconds. */
  readonly idleMs: number;
  readonly up: FlowState;
  readonly down: FlowState;
}

interface FlowText {
  readonly is: number;
  readonly held: number;
  /** What the pipe can hold; 0 if the bytes are in the content. */
  readonly pipe: number;
}

interface SessionText {
  readonly form: number;
  readonly addresses: readonly [string, string] | null;
  readonly joined: {
    readonly upstreamName: string;
    readonly epoch: number;
    readonly idleMs: number;
    readonly flows: readonly [FlowText, FlowText];
  } | null;
}

/** The parcel of a session that stands still. */
export function parcelOf({ client, addresses, joined }: PassedSession): Parcel {
  const flows = joined === undefined ? [] : [joined.up, joined.down];
  const text: SessionText = {
    form: FORM,
    addresses: addresses === undefined
      ? null
      : [formatAddress(addresses.client), formatAddress(addresses.local)],
    joined: joined === undefined ? null : {
      upstreamName: joined.upstreamName,
      epoch: joined.epoch,
      idleMs: joined.idleMs,
      flows: [textOf(joined.up), textOf(joined.down)],
    },
  };
  const head = new TextEncoder().encode(JSON.stringify(text));
  const parts = flows.map(({ bytes }) => bytes ?? new Uint8Array(0));
  const length = parts.reduce((sum, part) => sum + part.length, 4 + head.length);
  const content = new Uint8Array(length);
  new DataView(content.buffer).setUint32(0, head.length, true);
  content.set(head, 4);
  let at = 4 + head.length;
  for (const part of parts) {
    content.set(part, at);
    at += part.length;
  }
  const pipes = flows.flatMap(({ pipe }) => pipe === undefined ? [] : [pipe.read, pipe.write]);
  const descriptors = [client, ...joined === undefined ? [] : [joined.upstream], ...pipes];
  return { kind: SPLICE_PARCEL, content, descriptors };
}

function textOf({ is, held, pipe }: FlowState): FlowText {
  return { is, held, pipe: pipe?.capacity ?? 0 };
}

/** Reads a parcel; undefined if it is none of these, or of a form that is not known here. */
export function readParcel({ kind, content, descriptors }: Parcel): PassedSession | undefined {
  if (kind !== SPLICE_PARCEL || content.length < 4) return undefined;
  if (content.length > PARCEL_BYTES_MAX) return undefined;
  const length = new DataView(content.buffer, content.byteOffset).getUint32(0, true);
  if (length > content.length - 4) return undefined;
  const text = parsed(content.subarray(4, 4 + length));
  if (text?.form !== FORM) return undefined;
  const reader = new PartReader(content.subarray(4 + length), descriptors);
  const client = reader.descriptor();
  const addresses = text.addresses === null ? undefined : addressesOf(text.addresses);
  if (text.addresses !== null && addresses === undefined) return undefined;
  const joined = isObject(text.joined) ? joinOf(text.joined, reader) : undefined;
  if (text.joined !== null && joined === undefined) return undefined;
  return reader.isUsedUp ? { client, addresses, joined } : undefined;
}

function joinOf(text: NonNullable<SessionText["joined"]>, reader: PartReader) {
  const { upstreamName, epoch, idleMs, flows } = text;
  const upstream = reader.descriptor();
  if (typeof upstreamName !== "string" || !isCount(epoch) || !isCount(idleMs)) return undefined;
  if (!Array.isArray(flows) || flows.length !== 2) return undefined;
  const [up, down] = flows.map((flow: FlowText) => isObject(flow) ? reader.flow(flow) : undefined);
  if (up === undefined || down === undefined) return undefined;
  return { upstream, upstreamName, epoch, idleMs, up, down } satisfies PassedJoin;
}

function addressesOf(text: unknown): ProxiedAddresses | undefined {
  if (!Array.isArray(text) || text.length !== 2) return undefined;
  const [client, local] = text.map(addressOf);
  return client === undefined || local === undefined ? undefined : { client, local };
}

function addressOf(text: unknown): Address | undefined {
  const address = typeof text === "string" ? parseAddress(text, true) : undefined;
  return address instanceof ConfigError ? undefined : address;
}

function isObject<T>(value: T): value is T & object {
  return typeof value === "object" && value !== null;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function parsed(bytes: Uint8Array): SessionText | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
    return isObject(value) ? value as SessionText : undefined;
  } catch {
    return undefined;
  }
}

/** Hands out the bytes and the descriptors of a parcel in their order. */
class PartReader {
  #bytes: Uint8Array<ArrayBuffer>;
  readonly #descriptors: readonly number[];
  #taken = 0;

  constructor(bytes: Uint8Array<ArrayBuffer>, descriptors: readonly number[]) {
    this.#bytes = bytes;
    this.#descriptors = descriptors;
  }

  /** True if all was handed out, and no more. */
  get isUsedUp(): boolean {
    return this.#bytes.length === 0 && this.#taken === this.#descriptors.length;
  }

  descriptor(): number {
    return this.#descriptors[this.#taken++] ?? -1;
  }

  flow({ is, held, pipe: capacity }: FlowText): FlowState | undefined {
    if (!isCount(is) || !isCount(held) || !isCount(capacity)) return undefined;
    if (held === 0) return { is, held, pipe: undefined, bytes: undefined };
    if (capacity > 0) {
      const pipe: Pipe = { read: this.descriptor(), write: this.descriptor(), capacity };
      return { is, held, pipe, bytes: undefined };
    }
    if (held > Math.min(this.#bytes.length, FLOW_BYTES_MAX)) return undefined;
    const bytes = this.#bytes.slice(0, held);
    this.#bytes = this.#bytes.subarray(held);
    return { is, held, pipe: undefined, bytes };
  }
}
