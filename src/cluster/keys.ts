/**
 * The keys of one service in etcd, and their values as JSON. Whatever is stored may have been written by a
 * later version, or by hand: what cannot be read counts as missing, and never throws. Pure.
 *
 * - `leader` (lease): the proxy that decides.
 * - `decision`: who serves, or is being promoted.
 * - `orders`: what the operator ordered until further notice.
 * - `seen/PROXY` (lease): what a proxy sees, and for which promotion it holds its clients.
 * - `order/ID` (lease), `outcome/ID` (lease): an order that was given to a proxy which does not lead.
 */
import type { Decision, SharedOrders, Traffic, Vote } from "../failover/cluster.ts";
import type { OperatorOrder, OrderOutcome, OrderSource } from "../failover/orders.ts";
import type { KeyEntry, Reading } from "./etcd.ts";

/** The prefix of all keys of a service. The names are escaped, so that no name can contain another prefix. */
export function prefixOf(cluster: string, service: string): string {
  return `/failover/v1/${encodeURIComponent(cluster)}/${encodeURIComponent(service || "_")}/`;
}

/** What a proxy tells the others about itself. */
export interface Seen extends Vote {
  readonly version: string;
  /** The upstreams on its list, in order. */
  readonly list: readonly string[];
  /** The newest promotion of another proxy for which it holds its clients; 0 if there was none. */
  readonly held: number;
}

/** An order on its way to the proxy that leads. */
export interface PassedOrder {
  readonly id: string;
  readonly order: OperatorOrder;
  readonly source: OrderSource;
  /** The revision at which it was stored. */
  readonly revision: number;
}

/** The proxy that leads, its lease, and the revision at which it took the lead. */
export interface Leader {
  readonly instance: string;
  readonly lease: string | undefined;
  readonly revision: number;
}

/** All that is stored for a service, as far as it can be read. */
export interface Stored {
  readonly revision: number;
  readonly leader: Leader | undefined;
  readonly decision: Decision | undefined;
  /** The revision of the decision, 0 if there is none. */
  readonly decisionRevision: number;
  readonly orders: SharedOrders | undefined;
  /** The revision at which they were stored; 0 if they never were. */
  readonly ordersRevision: number;
  /** By proxy. */
  readonly seen: ReadonlyMap<string, Seen>;
  readonly passed: readonly PassedOrder[];
  /** By the number of an order that was passed on. */
  readonly outcomes: ReadonlyMap<string, OrderOutcome>;
  /** By the same number: the lease of the proxy that has taken the order. */
  readonly takers: ReadonlyMap<string, string>;
}

/** Reads what is stored. */
export function storedOf({ revision, entries }: Reading): Stored {
  const leader = entries.get("leader");
  const decision = entries.get("decision");
  const under = <T>(folder: string, read: (entry: KeyEntry, name: string) => T | undefined) =>
    [...entries].filter(([key]) => key.startsWith(folder)).flatMap(([key, entry]) => {
      const name = key.slice(folder.length);
      const value = read(entry, name);
      return value === undefined ? [] : [[name, value] as const];
    });
  return {
    revision,
    leader: leader &&
      { instance: leader.value, lease: leader.lease, revision: leader.createRevision },
    decision: decision && decisionFrom(decision.value),
    decisionRevision: decision?.modRevision ?? 0,
    orders: ordersFrom(entries.get("orders")?.value),
    ordersRevision: entries.get("orders")?.modRevision ?? 0,
    // A key without a lease was written by hand, and says nothing of a proxy that lives.
    seen: new Map(under("seen/", ({ value, lease }) => lease && seenFrom(value) || undefined)),
    passed: under(
      "order/",
      ({ value, createRevision }, id) => passedFrom(value, id, createRevision),
    )
      .map(([, each]) => each).sort((a, b) => a.revision - b.revision),
    outcomes: new Map(under("outcome/", ({ value }) => outcomeFrom(value))),
    takers: new Map(under("outcome/", ({ lease }) => lease)),
  };
}

/** The value of `decision`. */
export function decisionText(decision: Decision): string {
  return JSON.stringify(decision);
}

/** The value of `orders`; equal orders give equal texts. */
export function ordersText({ paused, drained, pinned }: SharedOrders): string {
  const source = ({ by, reason }: OrderSource) => ({ by, reason });
  return JSON.stringify({
    paused: paused === undefined ? null : source(paused),
    drained: [...drained].sort(([a], [b]) => a < b ? -1 : 1)
      .map(([name, each]) => [name, source(each)]),
    pinned: pinned ?? null,
  });
}

/** The value of `seen/PROXY`. */
export function seenText({ version, list, up, down, traffic, held }: Seen): string {
  return JSON.stringify({ version, list, up, down, traffic, held });
}

/** The value of `order/ID`. */
export function passedText(order: OperatorOrder, { by, reason }: OrderSource): string {
  return JSON.stringify({ order, by, reason });
}

/** The value of `outcome/ID`. */
export function outcomeText(outcome: OrderOutcome): string {
  return JSON.stringify(outcome);
}

// ---- Reading

type Fields = Readonly<Record<string, unknown>>;

/** The value as an object; undefined if it is not JSON or something else. */
function fieldsOf(value: unknown): Fields | undefined {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  return isObject ? value as Fields : undefined;
}

function parsed(text: string | undefined): Fields | undefined {
  if (text === undefined) return undefined;
  try {
    return fieldsOf(JSON.parse(text));
  } catch {
    return undefined;
  }
}

const isText = (value: unknown): value is string => typeof value === "string";
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value);
const isTexts = (value: unknown): value is string[] => Array.isArray(value) && value.every(isText);

const MOVES = ["start", "failover", "failback", "switchover", "resume"] as const;
const TRAFFIC: readonly Traffic[] = ["flows", "fails", "none"];

function decisionFrom(text: string): Decision | undefined {
  const fields = parsed(text);
  if (fields === undefined) return undefined;
  const { epoch, to, from, phase, reason, by } = fields;
  const move = MOVES.find((each) => each === fields.move);
  if (!isNumber(epoch) || !isText(to) || !isText(reason) || !isText(by)) return undefined;
  if (move === undefined || (phase !== "promoting" && phase !== "done")) return undefined;
  return { epoch, to, from: isText(from) ? from : undefined, phase, move, reason, by };
}

function sourceFrom(value: unknown): OrderSource | undefined {
  const { by, reason } = fieldsOf(value) ?? {};
  return isText(by) && isText(reason) ? { by, reason } : undefined;
}

function ordersFrom(text: string | undefined): SharedOrders | undefined {
  const fields = parsed(text);
  if (fields === undefined || !Array.isArray(fields.drained)) return undefined;
  const drained = new Map<string, OrderSource>();
  for (const [name, value] of fields.drained.filter(Array.isArray)) {
    const source = sourceFrom(value);
    if (isText(name) && source !== undefined) drained.set(name, source);
  }
  const pinned = isText(fields.pinned) ? fields.pinned : undefined;
  return { paused: sourceFrom(fields.paused), drained, pinned };
}

function seenFrom(text: string): Seen | undefined {
  const { version, list, up, down, traffic, held } = parsed(text) ?? {};
  const known = TRAFFIC.find((each) => each === traffic);
  if (!isText(version) || !isTexts(list) || !isTexts(up) || !isTexts(down)) return undefined;
  if (known === undefined || !isNumber(held)) return undefined;
  return { version, list, up, down, traffic: known, held };
}

function passedFrom(text: string, id: string, revision: number): PassedOrder | undefined {
  const fields = parsed(text);
  const source = sourceFrom(fields);
  const order = orderFrom(fieldsOf(fields?.order));
  return source === undefined || order === undefined ? undefined : { id, order, source, revision };
}

function orderFrom(fields: Fields | undefined): OperatorOrder | undefined {
  switch (fields?.name) {
    case "switchover": {
      const { to, maxWaitMs } = fields;
      if (!isText(to)) return undefined;
      return { name: "switchover", to, ...isNumber(maxWaitMs) ? { maxWaitMs } : {} };
    }
    case "drain":
    case "undrain":
      return isText(fields.upstream) ? { name: fields.name, upstream: fields.upstream } : undefined;
    case "failback":
    case "pause":
    case "resume":
      return { name: fields.name };
  }
}

function outcomeFrom(text: string): OrderOutcome | undefined {
  const { is, reason } = parsed(text) ?? {};
  if (is === "accepted" || is === "finished") return { is };
  return (is === "refused" || is === "failed") && isText(reason) ? { is, reason } : undefined;
}
