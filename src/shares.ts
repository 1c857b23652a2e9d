/** Shares the process's descriptors out among services, at the start. Part of the composition root. */
import type { Publish } from "./events/events.ts";
import { ADMIN_MAX, type Budget, budget, measure, type Need } from "./net/descriptors.ts";

/** Descriptors that a check of one upstream has open: its connection, and the output of a program. */
export function checkDescriptors(checkHost: unknown): number {
  return checkHost === undefined ? 1 : 4;
}

/**
 * How many clients each service and the operator's window may have, in order; told to a service where it is
 * fewer than was asked for. Where the system cannot be asked, everybody has that.
 */
export function shareDescriptors(
  services: readonly { readonly need: Need; readonly publish: Publish }[],
): Budget {
  const descriptors = measure();
  if (descriptors === undefined) {
    return { clients: services.map(({ need }) => need.asked), admin: ADMIN_MAX };
  }
  const shares = budget(services.map(({ need }) => need), descriptors);
  for (const [place, { need: { asked }, publish }] of services.entries()) {
    const max = shares.clients[place]!;
    const event = {
      type: "connections.limited",
      asked,
      max,
      descriptors: descriptors.limit,
    } as const;
    if (max < asked) publish(event);
  }
  return shares;
}
