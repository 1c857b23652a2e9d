/**
 * A connection of HTTP/1.1 that waits for a request, as one process hands it over to the next: its socket, and who its
 * client is. Nothing was read of the request. Pure.
 */
import { oneLine } from "../base/one_line.ts";
import type { Parcel } from "../net/handover.ts";

/** The code that can continue such a connection, and the form of its content. */
const HTTP_PARCEL = "http/1";
/** Longer than any address of a client. */
const PEER_MAX = 200;

/** One connection. */
export interface PassedConnection {
  readonly descriptor: number;
  /** The client's IP address, or `unix`. */
  readonly peer: string;
}

/** The parcel of a connection. */
export function httpParcel({ descriptor, peer }: PassedConnection): Parcel {
  const content = new TextEncoder().encode(peer);
  return { kind: HTTP_PARCEL, content, descriptors: [descriptor] };
}

/** Reads a parcel; undefined if it is none of these. */
export function readHttpParcel(
  { kind, content, descriptors }: Parcel,
): PassedConnection | undefined {
  const [descriptor] = descriptors;
  if (kind !== HTTP_PARCEL || descriptor === undefined || descriptors.length !== 1) {
    return undefined;
  }
  const peer = oneLine(new TextDecoder().decode(content));
  return peer === "" || peer.length > PEER_MAX ? undefined : { descriptor, peer };
}
