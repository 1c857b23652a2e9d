/**
 * Makes the chosen server the primary before the operator's triggers run. Clients wait for both, so a server that
 * takes no writes never gets them.
 */
import type { Clock } from "../base/clock.ts";
import { whenAborted, withDeadline } from "../base/deadline.ts";
import { formatDuration } from "../base/duration.ts";
import type { Publish } from "../events/events.ts";
import type { Promotion, TriggerOutcome, Triggers } from "../failover/ports.ts";
import { PromotionRefused } from "./server_probe.ts";

/** How a server is promoted, and how long one attempt may take. */
export interface PromotionSettings {
  /** As `ServerProbe.promote`, for the upstream of this name. */
  readonly promote: (upstream: string, signal: AbortSignal) => Promise<void>;
  /** In milliseconds. */
  readonly timeoutMs: number;
  /** How long this proxy may still act for the others, in milliseconds; Infinity if it is alone. */
  readonly leftMs?: () => number;
  readonly clock: Clock;
  readonly publish: Publish;
}

/** The promotion of a server as the first of the triggers of a service. */
export class PromotionFirst implements Triggers {
  readonly #settings: PromotionSettings;
  readonly #triggers: Triggers;
  #previous: Promise<unknown> = Promise.resolve();
  /** The newest epoch whose server is a primary, so that its triggers may be repeated alone. */
  #doneEpoch = 0;
  /** The newest epoch in which an attempt may have begun: a later refusal does not undo that. */
  #unclearEpoch = 0;

  constructor(settings: PromotionSettings, triggers: Triggers) {
    this.#settings = settings;
    this.#triggers = triggers;
  }

  /** See `Triggers` in `failover/ports.ts` for the contract. */
  run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    const ended = this.#previous.then(() => this.#run(promotion, signal));
    this.#previous = ended.catch(() => {});
    return ended;
  }

  async #run(promotion: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    if (signal.aborted) return { how: "cancelled" };
    const { epoch, move } = promotion;
    // At the very first start only a primary is chosen, or a server that does not say what it is.
    if (move !== "start" && this.#doneEpoch !== epoch) {
      const outcome = await this.#promote(promotion, signal);
      if (outcome.how !== "ran") return outcome;
      this.#doneEpoch = epoch;
    }
    return await this.#triggers.run(promotion, signal);
  }

  async #promote({ to: upstream, epoch }: Promotion, signal: AbortSignal): Promise<TriggerOutcome> {
    const { promote, clock, publish, leftMs } = this.#settings;
    const timeoutMs = Math.min(this.#settings.timeoutMs, leftMs?.() ?? Infinity);
    if (timeoutMs <= 0) {
      const reason = "this proxy does not lead any more";
      return { how: "failed", reason, promotion: "refused" };
    }
    const startedAt = clock.now();
    using deadline = withDeadline(signal, timeoutMs, clock);
    const late = whenAborted(deadline.signal).then(() => {
      throw new Error(`not done within ${formatDuration(timeoutMs)}`);
    });
    // If the promotion ends first, nobody waits for this one.
    late.catch(() => {});
    try {
      await Promise.race([promote(upstream, deadline.signal), late]);
      publish({ type: "server.promoted", upstream, epoch, tookMs: clock.now() - startedAt });
      return { how: "ran" };
    } catch (error) {
      if (signal.aborted) return { how: "cancelled" };
      const isRefused = error instanceof PromotionRefused && this.#unclearEpoch !== epoch;
      if (!isRefused) this.#unclearEpoch = epoch;
      const text = error instanceof Error ? error.message : String(error);
      const tookMs = clock.now() - startedAt;
      publish({ type: "server.promotionFailed", upstream, epoch, reason: text, tookMs });
      const reason = `${upstream} could not be made the primary: ${text}`;
      return { how: "failed", reason, promotion: isRefused ? "refused" : "unclear" };
    }
  }
}
