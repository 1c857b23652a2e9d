/** The operator of a simulation, who gives orders and changes the config at random times. */
import type { OperatorOrder } from "../../src/failover/orders.ts";
import type { Policy } from "../../src/failover/state.ts";
import type { Upstream } from "../../src/failover/upstream.ts";
import { type Settings, settingsFor } from "./settings.ts";
import type { VirtualTime } from "./virtual_time.ts";

export interface SimulatedOperatorDeps {
  readonly settings: Settings;
  readonly time: VirtualTime;
  readonly random: () => number;
  /** The upstreams that may be listed. */
  readonly pool: readonly Upstream[];
  /** What is configured now. */
  config(): { readonly upstreams: readonly Upstream[]; readonly policy: Policy };
  order(order: OperatorOrder): void;
  reload(upstreams: readonly Upstream[], policy: Policy): void;
}

/** The longest time between two orders of a failback, in milliseconds. */
const FAILBACK_MAX_MS = 600_000;

export class SimulatedOperator {
  readonly #deps: SimulatedOperatorDeps;

  constructor(deps: SimulatedOperatorDeps) {
    this.#deps = deps;
  }

  /** Orders a failback from time to time. */
  planFailback(): void {
    const { time, random, order } = this.#deps;
    time.after(random() * FAILBACK_MAX_MS, () => {
      order({ name: "failback" });
      this.planFailback();
    });
  }

  /** Orders of every other kind, with a mean interval that differs between simulations. */
  planOrder(): void {
    const { time, random, order, settings: { meanOrderMs } } = this.#deps;
    if (meanOrderMs === 0) return;
    time.after(-Math.log(1 - random()) * meanOrderMs, () => {
      order(this.#drawOrder());
      this.planOrder();
    });
  }

  /** Changes the list of upstreams, or options. */
  planReload(): void {
    const { time, random, settings: { meanReloadMs } } = this.#deps;
    if (meanReloadMs === 0) return;
    time.after(-Math.log(1 - random()) * meanReloadMs, () => {
      this.#reload();
      this.planReload();
    });
  }

  #drawOrder(): OperatorOrder {
    const { random, pool, settings: { policy: { holdMs } } } = this.#deps;
    const upstream = pool[Math.floor(random() * pool.length)]!.name;
    const roll = Math.floor(random() * 12);
    // Pauses and drains are ended more often than begun, so that most of the time decisions are made.
    if (roll < 4) {
      const isDefault = random() < 0.5;
      return isDefault
        ? { name: "switchover", to: upstream }
        : { name: "switchover", to: upstream, maxWaitMs: random() * holdMs };
    }
    if (roll < 5) return { name: "pause" };
    if (roll < 7) return { name: "resume" };
    if (roll < 8) return { name: "hold", maxMs: random() * holdMs };
    if (roll < 9) return { name: "release" };
    return roll < 10 ? { name: "drain", upstream } : { name: "undrain", upstream };
  }

  #reload(): void {
    const { random, pool, config, reload } = this.#deps;
    const listed = pool.map((upstream) => ({ upstream, place: random() }))
      .filter(() => random() < 0.7).toSorted((a, b) => a.place - b.place)
      .map(({ upstream }, rank) => ({ ...upstream, rank }));
    const now = config();
    const upstreams = random() < 0.3 ? now.upstreams : listed;
    if (upstreams.length === 0) return;
    const { rise, fall, failback, damping, maxBackoffMs } =
      settingsFor(Math.floor(random() * 2 ** 31)).policy;
    const policy = random() < 0.5
      ? now.policy
      : { ...now.policy, rise, fall, failback, damping, maxBackoffMs };
    reload(upstreams, policy);
  }
}
