/** What is stored, as the view of the machine. Pure. */
import { type ClusterView, CUT_OFF, type Traffic } from "../failover/cluster.ts";
import { ordersText, type Stored } from "./keys.ts";

/** The view of the proxy `instance` in this role; `stored` is undefined if nothing was read. */
export function viewOf(
  stored: Stored | undefined,
  role: ClusterView["role"],
  instance: string,
  traffic: Traffic,
): ClusterView {
  if (stored === undefined) return { ...CUT_OFF, instance, role, traffic };
  const { leader, decision, decisionRevision: fence, seen, orders } = stored;
  // A proxy that is cut off does not know whether the others live.
  const live = role === "cutOff" ? [] : [...seen].filter(([name]) => name !== instance);
  const votes = live.map(([name, { up, down, traffic }]) => [name, { up, down, traffic }] as const);
  const others = new Map(votes);
  return { instance, role, leader: leader?.instance, decision, fence, others, traffic, orders };
}

/** Text that is the same for views that say the same. */
export function viewText(view: ClusterView): string {
  const { role, leader, decision, fence, others, traffic, orders } = view;
  const stands = orders === undefined ? null : ordersText(orders);
  return JSON.stringify([role, leader, decision, fence, [...others], traffic, stands]);
}
