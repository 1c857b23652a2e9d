/** Proxies with a model of etcd in virtual time, for tests of the coordination. */
import { ManualClock } from "../../base/clock.ts";
import type { Event } from "../../events/events.ts";
import type { OperatorOrder, OrderOutcome } from "../../failover/orders.ts";
import type { Promotion } from "../../failover/ports.ts";
import { initialState, type State } from "../../failover/state.ts";
import type { Input } from "../../failover/steps.ts";
import { POLICY } from "../../failover/testing/policy.ts";
import { upstreamsOf } from "../../failover/testing/results.ts";
import { ClusterCoordinator } from "../coordinator.ts";
import { EtcdModel } from "./etcd_model.ts";

/** One proxy: its coordinator, what that posted and published, and the orders that it was to carry out. */
export interface Member {
  readonly coordinator: ClusterCoordinator;
  readonly inputs: Input[];
  readonly events: Event[];
  readonly orders: OperatorOrder[];
  /** Answers the next orders. */
  outcomes: OrderOutcome[];
  /** Answers the last order again. */
  answer(outcome: OrderOutcome): void;
  state: State;
  runsTriggers: boolean;
  /** How many sessions of the active upstream move bytes. */
  busy: number;
}

/** A cluster whose proxies do nothing by themselves. */
export class Members {
  readonly clock = new ManualClock(1_000);
  readonly etcd = new EtcdModel(this.clock, () => 0.5);
  /** The proxies that get no answer of etcd. */
  readonly cut = new Set<string>();

  /** Makes a proxy, which joins at once unless `begins` is false. */
  join(
    instance: string,
    without: "serve-last" | "decide-alone" = "serve-last",
    begins = true,
  ): Member {
    const member = {
      ...{ inputs: [] as Input[], events: [] as Event[], orders: [] as OperatorOrder[] },
      outcomes: [{ is: "finished" }] as OrderOutcome[],
      state: initialState(upstreamsOf("a", "b"), 0),
      ...{ runsTriggers: false, busy: 0 },
    } as unknown as Member & { coordinator: ClusterCoordinator };
    const link = { delay: () => this.cut.has(instance) ? undefined : 1 };
    member.coordinator = new ClusterCoordinator(
      { instance, version: "1", ttlS: 10, without },
      this.etcd.client(this.clock, link),
      {
        state: () => member.state,
        policy: () => POLICY,
        post: (input) => member.inputs.push(input),
        order: (order, _source, onOutcome) => {
          member.orders.push(order);
          member.answer = onOutcome;
          for (const outcome of member.outcomes) onOutcome(outcome);
        },
        runsTriggers: () => member.runsTriggers,
        busy: () => Promise.resolve(member.busy),
      },
      { clock: this.clock, publish: (event) => member.events.push(event) },
    );
    if (begins) member.coordinator.begin();
    return member;
  }

  /** Cuts a proxy off from etcd for `ms` milliseconds. */
  cutFor(ms: number, instance: string): void {
    this.cut.add(instance);
    this.clock.after(ms, () => this.cut.delete(instance));
  }

  /** Moves the time by `ms` milliseconds in small steps. */
  async pass(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= 10) await this.clock.advance(10);
  }

  /** Moves the time until the call has settled, at most half a minute. */
  settle<T>(call: Promise<T>): Promise<T> {
    return settleIn(this.clock, call);
  }
}

/** A cluster of one proxy, which leads. */
export async function oneProxy(without?: "serve-last" | "decide-alone") {
  const members = new Members();
  const p1 = members.join("p1", without);
  await members.pass(100);
  return { members, p1 };
}

/** A cluster of two proxies, of which the first one leads and the second one follows. */
export async function twoProxies() {
  const { members, p1 } = await oneProxy();
  const p2 = members.join("p2");
  await members.pass(100);
  return { members, p1, p2 };
}

/** A model of etcd without proxies, and a client that gets its answers at once. */
export function promptEtcd() {
  const clock = new ManualClock(1_000);
  const etcd = new EtcdModel(clock, () => 0.5);
  const client = etcd.client(clock, { delay: () => 0 });
  const settle = <T>(call: Promise<T>) => settleIn(clock, call);
  return { clock, etcd, client, settle };
}

/** Moves the time of `clock` until the call has settled, at most half a minute. */
export async function settleIn<T>(clock: ManualClock, call: Promise<T>): Promise<T> {
  let isOver = false;
  const over = () => isOver = true;
  call.then(over, over);
  for (let ms = 0; ms < 30_000 && !isOver; ms += 10) await clock.advance(10);
  return await call;
}

/** A failover from `a`. */
export function failoverOf(epoch: number, to = "b"): Promotion {
  return {
    ...{ move: "failover", id: `i-${epoch}`, epoch, from: "a", to },
    reason: "a is down",
  };
}

/** The role in the last view that a proxy posted. */
export function roleOf({ inputs }: Member): string | undefined {
  const last = inputs.findLast((input) => input.type === "coordinated");
  return last?.type === "coordinated" ? last.view.role : undefined;
}
