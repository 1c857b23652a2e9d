/** The listening sockets of services, as they pass from one process to the next. */
import { type Address, formatAddress } from "../base/address.ts";
import type {
  ListenerOwner,
  PassedListener,
  ReceivedListeners,
  ReceivedPort,
} from "../net/handover.ts";
import type { ServiceContext } from "./service.ts";

/** The socket of a service that another process has left to this one, if it has left any. */
export function receivedFor(
  { received }: Pick<ServiceContext, "received">,
  name: string,
  address: Address,
): { readonly received?: ReceivedPort } {
  return receivedOf(received, { is: "service", name }, address);
}

/** The socket for one place that another process has left to this one, if it has left any. */
export function receivedOf(
  received: ReceivedListeners | undefined,
  owner: ListenerOwner,
  address: Address,
): { readonly received?: ReceivedPort } {
  if (received === undefined) return {};
  return {
    received: {
      take: () => received.take(owner, formatAddress(address)),
      giveBack: (listener) => received.giveBack(listener),
    },
  };
}

/** What a service whose port is open at this socket hands over; nothing while it is closed. */
export function listenersOf(
  name: string,
  address: Address,
  passed: Pick<PassedListener, "descriptor" | "isLent"> | undefined,
): readonly PassedListener[] {
  if (passed === undefined) return [];
  return [{ owner: { is: "service", name }, address: formatAddress(address), ...passed }];
}
