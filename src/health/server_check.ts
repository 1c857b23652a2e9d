/**
 * The check that asks a database for its role, on the connections that its probes keep. It makes the answer a
 * result, ends questions whose time is up, and tells its owner when a kept connection ends.
 */
import type { Clock } from "../base/clock.ts";
import { whenAborted, withDeadline } from "../base/deadline.ts";
import { describe } from "../base/describe.ts";
import { formatDuration } from "../base/duration.ts";
import { Fault } from "../base/fault.ts";
import type { Probe, ProbeContext, ProbeResult } from "../failover/ports.ts";
import type { ServerReport } from "../failover/server_report.ts";
import type { Upstream } from "../failover/upstream.ts";
import { connectEvidence } from "./evidence.ts";
import { NotAlive, type Question, type ServerProbe } from "./server_probe.ts";

/** How questions are asked, and who is told that a connection has ended. */
export interface ServerCheckSettings {
  /** The time that one question has, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  /** Called when the kept connection to an upstream ends by itself. */
  readonly onEnd: (upstream: string, reason: string) => void;
}

/** How long a question that was ended may take to reject, in milliseconds. */
const ENDING_MS = 250;

/** The checks of the servers of one service. */
export class ServerCheck implements AsyncDisposable {
  readonly #probes: ReadonlyMap<string, ServerProbe>;
  readonly #settings: ServerCheckSettings;
  /** By upstream: the question under way. Others wait for it. */
  readonly #asking = new Map<string, Promise<unknown>>();

  /** `probes` has one for each upstream that is checked; they are closed with this object. */
  constructor(probes: ReadonlyMap<string, ServerProbe>, settings: ServerCheckSettings) {
    this.#probes = probes;
    this.#settings = settings;
    for (const [name, probe] of probes) {
      probe.onEnd = (reason) => settings.onEnd(name, reason);
    }
  }

  /** The probe for the checker. */
  readonly probe: Probe = async (upstream, context, signal) => {
    const { clock, timeoutMs } = this.#settings;
    const startedAt = clock.now();
    using deadline = withDeadline(signal, timeoutMs, clock);
    const answer = await this.#ask(upstream, context, deadline.signal);
    const tookMs = clock.now() - startedAt;
    if (!(answer instanceof Error)) {
      return {
        ...{ passed: true, tookMs, reason: wordsOf(answer), evidence: "passed" },
        server: answer,
      };
    }
    if (signal.aborted) {
      return { passed: false, tookMs, reason: "the check was cancelled", evidence: "no_verdict" };
    }
    if (deadline.isLate) {
      const reason = `no answer within ${formatDuration(timeoutMs)}`;
      return { passed: false, tookMs, reason, evidence: "silent" };
    }
    return { passed: false, tookMs, ...failureOf(answer) };
  };

  /** Makes a standby the primary; see `ServerProbe.promote`. */
  async promote(upstream: string, signal: AbortSignal): Promise<void> {
    await this.#probes.get(upstream)!.promote!(signal);
  }

  /** Ends all connections. No check may be under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled([...this.#probes.values()].map((probe) => {
      probe.onEnd = () => {};
      return probe.close();
    }));
  }

  /** Resolves with what the question rejected with, at the latest shortly after `signal` is aborted. */
  async #ask(
    { name }: Upstream,
    { isDoubted = false }: ProbeContext,
    signal: AbortSignal,
  ): Promise<ServerReport | Error> {
    const over = Promise.withResolvers<Error>();
    let cancel = () => {};
    whenAborted(signal).then(() => {
      cancel = this.#settings.clock.after(ENDING_MS, () => over.resolve(new Error("cancelled")));
    });
    try {
      // A drill may ask as well, and a question that was ended may not have rejected yet.
      for (let other = this.#asking.get(name); other; other = this.#asking.get(name)) {
        const ended = await Promise.race([other.then(() => undefined), over.promise]);
        if (ended !== undefined) return ended;
      }
      const asking = this.#answer(this.#probes.get(name)!, { signal, isDoubted }).finally(() =>
        this.#asking.delete(name)
      );
      this.#asking.set(name, asking);
      return await Promise.race([asking, over.promise]);
    } finally {
      cancel();
    }
  }

  async #answer(probe: ServerProbe, question: Question): Promise<ServerReport | Error> {
    try {
      return await probe.ask(question);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }
}

function failureOf(error: Error): Pick<ProbeResult, "reason" | "evidence"> {
  if (error instanceof NotAlive) return { reason: error.message, evidence: error.evidence };
  if (error instanceof Fault) return { reason: error.message, evidence: connectEvidence(error) };
  // A bug of the probe says nothing about the server.
  return {
    reason: `a fault of the proxy itself: ${describe(error)}`,
    evidence: "no_verdict",
  };
}

/** An answer in a few words: `primary`, `standby`, `alive, role unknown: password refused`. */
function wordsOf({ role, phase, readOnly, reason }: ServerReport): string {
  if (phase !== "running") return phase;
  if (role === "unknown") {
    return `alive, role unknown${reason === undefined ? "" : `: ${reason}`}`;
  }
  return role === "primary" && readOnly === true ? "primary, takes no writes" : role;
}
