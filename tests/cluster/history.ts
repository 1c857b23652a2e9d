/**
 * Checks the history of a cluster: what its triggers wrote down, and the writes that clients got acknowledged. The
 * rules are those that the documentation promises.
 */

/**
 * One line of a trigger: it begins, it ends by itself, it found another one running, or its fence was lower than
 * the one that the primary was made with.
 */
export interface TriggerLine {
  readonly what: "begin" | "end" | "overlap" | "refused";
  /** The run of the proxy that began it. */
  readonly proxy: string;
  readonly event: string;
  readonly to: string;
  readonly epoch: number;
  readonly fence: number;
  /** Milliseconds since 1970. */
  readonly at: number;
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

/** The acknowledged writes that are missing in the data of the server that is the primary now. */
export function lostWrites(acknowledged: readonly string[], data: string): string[] {
  const there = new Set(data.split("\n"));
  return acknowledged.filter((id) => !there.has(id)).map((id) => `write ${id} is lost`);
}
