/** The engine with its own threads, which end with it. */
import { ThreadGroup, type ThreadGroupParts } from "../../../threads/thread_group.ts";
import type { Relay, RelayContext, RelaySettings } from "../../engine.ts";
import { startSplice } from "../splice.ts";

const SCRIPT = new URL("./thread_main.ts", import.meta.url);

export type StartSplice = (settings: RelaySettings, context: RelayContext) => Relay;

/** Makes a relay in as many threads as its settings say. `parts` replaces parts of the thread group. */
export function spliceAlone(parts: Partial<ThreadGroupParts> = {}): StartSplice {
  return (settings, context) => {
    const { clock, publish } = context;
    const threads = settings.workers;
    const group = new ThreadGroup({
      clock,
      publish,
      threads,
      kinds: ["tcp"],
      script: SCRIPT,
      ...parts,
    });
    const relay = startSplice(settings, context, group);
    let stopped: Promise<number> | undefined;
    const ended = async (stopping: Promise<number>) => {
      const cut = await stopping;
      await group[Symbol.asyncDispose]();
      return cut;
    };
    return {
      engine: relay.engine,
      finished: relay.finished,
      open: (upstream, epoch) => relay.open(upstream, epoch),
      hold: () => relay.hold(),
      refuse: () => relay.refuse(),
      confirm: (upstream) => relay.confirm(upstream),
      drain: (order) => relay.drain(order),
      spare: (upstream) => relay.spare(upstream),
      busy: (upstream, throughEpoch) => relay.busy(upstream, throughEpoch),
      configure: (settings) => relay.configure(settings),
      counters: () => relay.counters(),
      holdTimes: () => relay.holdTimes(),
      passed: () => relay.passed!(),
      receive: (parcel) => relay.receive!(parcel),
      leave: (passOn, drainMs, now) => stopped ??= ended(relay.leave!(passOn, drainMs, now)),
      stop: (drainMs, now) => stopped ??= ended(relay.stop(drainMs, now)),
      async [Symbol.asyncDispose]() {
        await this.stop(0, AbortSignal.abort());
      },
    } satisfies Relay;
  };
}

/** The engine with one thread, or as many as the settings say. */
export const spliceRelay: StartSplice = spliceAlone();
