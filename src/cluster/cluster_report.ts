/** How the proxies of a cluster differ from each other: for the state report and the log. */
import type { Publish } from "../events/events.ts";
import type { ProxyReport } from "../failover/cluster.ts";
import type { Seen } from "./keys.ts";

/** How `other` differs from `own`, for a person; undefined if it does not. */
export function differenceOf(own: Seen, other: Seen): string | undefined {
  const differences: string[] = [];
  if (own.version !== other.version) {
    differences.push(`its version is ${other.version}, and this one is ${own.version}`);
  }
  const list = other.list.join(",");
  if (own.list.join(",") !== list) differences.push(`its upstreams are ${list}`);
  return differences.length === 0 ? undefined : differences.join("; ");
}

/** The live proxies, with what differs from `own`. */
export function proxiesOf(seen: ReadonlyMap<string, Seen>, own: Seen): ProxyReport[] {
  return [...seen].map(([instance, each]) => {
    const { version, up, down } = each;
    return { instance, version, up, down, differs: differenceOf(own, each) };
  });
}

/** Most differences that are remembered, so that each is published once. */
const DIFFERENCES_MAX = 256;

/** Publishes each difference of another proxy once. */
export class DifferenceLog {
  readonly #publish: Publish;
  readonly #published = new Set<string>();

  constructor(publish: Publish) {
    this.#publish = publish;
  }

  /** Looks for differences that were not published before. */
  look(proxies: readonly ProxyReport[]): void {
    for (const { instance, differs: what } of proxies) {
      const key = `${instance} ${what}`;
      if (what === undefined || this.#published.has(key)) continue;
      if (this.#published.size >= DIFFERENCES_MAX) this.#published.clear();
      this.#published.add(key);
      this.#publish({ type: "proxy.differs", instance, what });
    }
  }
}
