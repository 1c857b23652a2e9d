/**
 * Checks the history of a cluster: what its triggers wrote down, the decisions that etcd stored, where each proxy sent
 * its clients, and the writes that these got acknowledged. The rules are those that the documentation promises. Pure.
 */
import type { StoredDecision } from "./etcd_history.ts";
import type { Answer } from "./writer.ts";

/**
 * One line of a trigger: it begins, it ends by itself, it failed to make the server a primary, it found another one
 * running, or its fence was lower than the one that the primary was made with.
 */
export interface TriggerLine {
  readonly what: "begin" | "end" | "failed" | "overlap" | "refused";
  /** The run of the proxy that began it. */
  readonly proxy: string;
  readonly event: string;
  readonly to: string;
  readonly epoch: number;
  readonly fence: number;
  /** Milliseconds since 1970. */
  readonly at: number;
}

/** A proxy lets its clients through to a server from now on. */
export interface Opened {
  /** The number of the proxy. */
  readonly proxy: number;
  readonly to: string;
  readonly epoch: number;
  /** When this process read that, which is later than it happened. Milliseconds since 1970. */
  readonly at: number;
}

/** A proxy has made a server the primary itself (`--promote`). */
export interface Promoted {
  /** The run of the proxy, as decisions name it. */
  readonly by: string;
  readonly to: string;
  readonly epoch: number;
}

/** Reads the lines that the trigger of the fixture writes. */
export function readTriggers(text: string): TriggerLine[] {
  return text.split("\n").filter((line) => line !== "").map((line) => {
    const [what, id, event, to, epoch, fence, at] = line.split(" ");
    const proxy = id!.slice(0, id!.lastIndexOf("-"));
    return {
      what: what as TriggerLine["what"],
      ...{ proxy, event: event!, to: to! },
      ...{ epoch: Number(epoch), fence: Number(fence), at: Number(at) },
    };
  });
}

/** The breaches of the rules, a sentence each. */
export function breachesOf(lines: readonly TriggerLine[]): string[] {
  const found: string[] = [];
  const begun = new Map<number, TriggerLine>();
  let last: TriggerLine | undefined;
  for (const line of lines) {
    const { what, epoch, fence, proxy } = line;
    if (what === "overlap") found.push(`epoch ${epoch} began while another trigger was running`);
    if (what === "refused") found.push(`the fence of epoch ${epoch} was refused`);
    if (what !== "begin") continue;
    const before = begun.get(epoch);
    if (before !== undefined && before.proxy !== proxy) {
      found.push(`epoch ${epoch} was begun by ${before.proxy} and by ${proxy}`);
    }
    if (!(fence > 0)) found.push(`epoch ${epoch} has no fence`);
    if (last !== undefined && last.epoch !== epoch) {
      if (epoch < last.epoch) found.push(`epoch ${epoch} came after ${last.epoch}`);
      if (fence <= last.fence) found.push(`fence ${fence} came after ${last.fence}`);
    }
    begun.set(epoch, line);
    last = line;
  }
  return found;
}

/**
 * The breaches in what etcd stored, in the order of revisions: epochs only grow, an epoch keeps its upstream and the
 * proxy that decided it, and what is done stays done. Each trigger belongs to a decision that was stored before it
 * began, by the proxy that began it, and its fence is the revision of that. Nothing is done before its triggers are.
 */
export function decisionBreaches(
  decisions: readonly StoredDecision[],
  lines: readonly TriggerLine[],
): string[] {
  const found: string[] = [];
  const firsts = new Map<number, StoredDecision>();
  let last: StoredDecision | undefined;
  for (const each of decisions) {
    const { epoch, to, by, phase } = each;
    const first = firsts.get(epoch) ?? each;
    firsts.set(epoch, first);
    if (last !== undefined && epoch < last.epoch) {
      found.push(`the decision ${epoch} was stored after ${last.epoch}`);
    }
    if (first.to !== to) found.push(`epoch ${epoch} went from ${first.to} to ${to}`);
    if (first.by !== by) found.push(`epoch ${epoch} was decided by ${first.by} and by ${by}`);
    if (last?.epoch === epoch && last.phase === "done" && phase !== "done") {
      found.push(`epoch ${epoch} was done, and then ${phase}`);
    }
    const own = lines.filter((line) => line.epoch === epoch);
    const isBegun = own.some(({ what }) => what === "begin");
    if (phase === "done" && isBegun && !own.some(({ what }) => what === "end")) {
      found.push(`epoch ${epoch} was done before its triggers were`);
    }
    last = each;
  }
  for (const { what, epoch, fence, to, proxy } of lines) {
    if (what !== "begin") continue;
    const first = firsts.get(epoch);
    if (first === undefined) {
      found.push(`the triggers of epoch ${epoch} were begun, which was never stored`);
      continue;
    }
    if (first.to !== to) found.push(`epoch ${epoch} is for ${first.to}, its triggers for ${to}`);
    if (!first.by.endsWith(`-${proxy}`)) {
      found.push(`epoch ${epoch} was decided by ${first.by}, and begun by ${proxy}`);
    }
    if (first.revision !== fence) {
      found.push(`epoch ${epoch} was stored at ${first.revision}, and its fence is ${fence}`);
    }
  }
  return found;
}

/** Servers that a proxy made the primary without a decision for that, of its own. */
export function promotionBreaches(
  decisions: readonly StoredDecision[],
  promoted: readonly Promoted[],
): string[] {
  return promoted.flatMap(({ by, to, epoch }) => {
    const is = (each: StoredDecision) => each.epoch === epoch && each.to === to && each.by === by;
    return decisions.some(is)
      ? []
      : [`${by} promoted ${to} in epoch ${epoch}, and did not decide it`];
  });
}

/**
 * A session that a move ends has a second (`--grace`) to end by itself; a new one has none. Milliseconds, with some
 * for the log line, which is written just before the order that it reports is carried out.
 */
const SESSION_MS = 2_000;
const CONNECT_MS = 500;
/** How much later than it happened this process may read that a proxy let clients through, in milliseconds. */
const READ_MS = 10_000;

/**
 * The answers of a server to clients whose proxy had let clients through to another one before: on a connection that
 * was begun later, or to what was sent when the sessions that were there before had to be over.
 */
export function staleAnswers(opened: readonly Opened[], answers: readonly Answer[]): string[] {
  const found: string[] = [];
  const byProxy = Map.groupBy(opened, ({ proxy }) => proxy);
  for (const { proxy, server, since, sentAt, at } of answers) {
    const those = byProxy.get(proxy) ?? [];
    const may = those.some(({ to, at: from }, index) => {
      const until = those[index + 1]?.at ?? Infinity;
      return to === server && from - READ_MS <= at &&
        (since <= until + CONNECT_MS && sentAt <= until + SESSION_MS);
    });
    if (may) continue;
    const time = new Date(at).toISOString().slice(11, 23);
    found.push(`a client of proxy ${proxy} was answered by ${server} at ${time}, and may not be`);
  }
  return found;
}

/** The acknowledged writes that are missing in the data of the server that is the primary now. */
export function lostWrites(acknowledged: readonly string[], rows: ReadonlySet<string>): string[] {
  return acknowledged.filter((id) => !rows.has(id)).map((id) => `write ${id} is lost`);
}
