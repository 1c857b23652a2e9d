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
import { NotAlive, PromotionRefused, type Question, type ServerProbe } from "./server_probe.ts";

/** How questions are asked, and who is told that a connection has ended. */
export interface ServerCheckSettings {
  /** The time that one question has, in milliseconds; a reload may change it. */
  readonly timeoutMs: () => number;
  readonly clock: Clock;
  /** Called when the kept connection to an upstream ends by itself. */
  readonly onEnd: (upstream: string, reason: string) => void;
}

/** How long a question that was ended may take to reject, in milliseconds. */
const ENDING_MS = 250;

/** The checks of the servers of one service. */
export class ServerCheck implements AsyncDisposable {
  readonly #make: (upstream: Upstream) => Promise<ServerProbe>;
  readonly #settings: ServerCheckSettings;
  /** By upstream, from its first question on. */
  readonly #probes = new Map<string, Promise<ServerProbe>>();
  /** By upstream: the question under way. Others wait for it. */
  readonly #asking = new Map<string, Promise<unknown>>();

  /** `make` is called at the first question about an upstream. */
  constructor(make: (upstream: Upstream) => Promise<ServerProbe>, settings: ServerCheckSettings) {
    this.#make = make;
    this.#settings = settings;
  }

  /** The probe for the checker. */
  readonly probe: Probe = async (upstream, context, signal) => {
    const { clock } = this.#settings;
    const timeoutMs = this.#settings.timeoutMs();
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
  async promote(upstream: Upstream, signal: AbortSignal): Promise<void> {
    const probe = await this.#probeOf(upstream);
    if (probe.promote === undefined) throw new PromotionRefused("it has no command for that");
    await probe.promote(signal);
  }

  /** Ends the connections to upstreams that are no longer listed. */
  async keepOnly(upstreams: readonly Upstream[]): Promise<void> {
    const listed = new Set(upstreams.map(({ name }) => name));
    const gone = [...this.#probes].filter(([name]) => !listed.has(name));
    await Promise.allSettled(gone.map(async ([name, made]) => {
      this.#probes.delete(name);
      const probe = await made;
      probe.onEnd = () => {};
      await probe.close();
    }));
  }

  /** Ends all connections. No check may be under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.keepOnly([]);
  }

  #probeOf(upstream: Upstream): Promise<ServerProbe> {
    const { name } = upstream;
    let probe = this.#probes.get(name);
    if (probe === undefined) {
      probe = this.#make(upstream).then((made) => {
        made.onEnd = (reason) => this.#settings.onEnd(name, reason);
        return made;
      });
      this.#probes.set(name, probe);
      probe.catch(() => this.#probes.delete(name));
    }
    return probe;
  }

  /** Resolves with what the question rejected with, at the latest shortly after `signal` is aborted. */
  async #ask(
    upstream: Upstream,
    { isDoubted = false }: ProbeContext,
    signal: AbortSignal,
  ): Promise<ServerReport | Error> {
    const { name } = upstream;
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
      const asking = this.#answer(upstream, { signal, isDoubted }).finally(() =>
        this.#asking.delete(name)
      );
      this.#asking.set(name, asking);
      return await Promise.race([asking, over.promise]);
    } finally {
      cancel();
    }
  }

  async #answer(upstream: Upstream, question: Question): Promise<ServerReport | Error> {
    try {
      return await (await this.#probeOf(upstream)).ask(question);
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
