/** Whether a listening socket that another process has left can be used in the place of a new one. */
import { formatAddress } from "../../base/address.ts";
import type { SockAddr } from "../../linux/kernel.ts";
import { isListeningFor, listensAt } from "../../linux/received_socket.ts";
import { addressOfSockaddr } from "../../linux/sockaddr.ts";
import type { PassedListener } from "../handover.ts";

/** Why it cannot be used for a port at `asked`, as a line for a person; undefined if it can. */
export function whyNotUsed(
  { address, descriptor }: PassedListener,
  asked: SockAddr | undefined,
): string | undefined {
  const at = listensAt(descriptor);
  if (at !== undefined && asked !== undefined && isListeningFor(at, asked)) return undefined;
  const where = at === undefined
    ? "does not listen"
    : `listens on ${formatAddress(addressOfSockaddr(at))}`;
  return `the socket that was handed over for ${address} ${where}: not used`;
}
