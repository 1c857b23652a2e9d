/**
 * The addresses of names, for the whole process. A name service that hangs must delay only the callers that
 * need its answer. Look-ups occupy threads that file operations and programs need as well (Deno has 32), so
 * there is one look-up for a name at a time, and few in all.
 *
 * An answer is valid for 5 s. The last addresses stay in use while the name service is silent or says that the
 * name does not exist, since a name service that is failing says that too. Addresses that failed are tried last.
 */
import { settlesWithin } from "../base/deadline.ts";
import { type Clock, realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { isIp } from "../base/ip.ts";
import { type LookUp, systemLookUp } from "./look_up.ts";

/** How long an answer is valid. All times here are in milliseconds. */
const FRESH_MS = 5_000;
/** How long after a failed look-up the next one may start. */
const RETRY_MS = 1_000;
/** How long a caller waits for a new answer if there is an old one. */
const RENEWAL_WAIT_MS = 250;
/** Look-ups at one time. One that takes longer than `SLOW_MS` no longer counts … */
const RUNNING_MAX = 4;
const SLOW_MS = 2_000;
/** … unless there are more slow ones than this: each occupies a thread. */
const SLOW_MAX = 8;
/** Names in memory. When there are more, all that are not being looked up are forgotten. */
const NAMES_MAX = 10_000;

interface Name {
  readonly host: string;
  /** The addresses of the last successful look-up, in the system's order; empty if there was none. */
  found: readonly string[];
  /** Until when no new look-up is needed. */
  freshUntil: number;
  /** When the last look-up ended that found something, and whether it was the last of all. */
  answeredAt: number;
  isAnswered: boolean;
  /** The look-up that runs or is queued. Resolves when it has ended, with or without success. */
  asking: Promise<void> | undefined;
  /** A caller has waited for that look-up without success: others do not wait for it. */
  isSilent: boolean;
  /** The address that was connected last, and those that have failed since they were. */
  best: string | undefined;
  readonly failed: Set<string>;
}

/** A cache of names with their addresses. Bounded in names and in look-ups at one time. */
export class Resolver {
  readonly #clock: Clock;
  readonly #lookUp: LookUp;
  readonly #names = new Map<string, Name>();
  readonly #queue: (() => void)[] = [];
  #running = 0;
  #slow = 0;

  readonly #freshMs: number;

  /** `freshMs`: how long an answer is valid. */
  constructor(clock: Clock, lookUp: LookUp = systemLookUp, freshMs = FRESH_MS) {
    this.#clock = clock;
    this.#lookUp = lookUp;
    this.#freshMs = freshMs;
  }

  /**
   * The addresses of `host` in the order in which to try them; `host` itself if it is an address. Resolves with
   * the fault `nameUnknown` if the name has none. Stays pending while the name service is silent and no address
   * is known: if the caller's deadline passes meanwhile, that means `nameSilent`. Never rejects.
   */
  async resolve(host: string): Promise<readonly string[] | Fault> {
    if (isIp(host)) return [host];
    const name = this.#nameOf(host);
    if (this.#clock.now() < name.freshUntil) return answerOf(name);
    const asked = name.asking ?? this.#ask(name);
    if (name.found.length === 0) await asked;
    else if (!name.isSilent) await this.#renewed(name, asked);
    return answerOf(name);
  }

  /** Whether the name service has answered for `host` a moment ago, or is not needed: another look-up would not wait. */
  isAnswered(host: string): boolean {
    if (isIp(host)) return true;
    const name = this.#names.get(host);
    return name !== undefined && name.isAnswered && this.#clock.now() < name.freshUntil;
  }

  /** The next caller asks again, unless the name was answered within the last second. */
  doubt(host: string): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    name.freshUntil = Math.min(name.freshUntil, name.answeredAt + RETRY_MS);
  }

  /** Reports that a connection to this address of `host` was made. */
  connected(host: string, ip: string): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    name.best = ip;
    name.failed.delete(ip);
  }

  /** Reports that a connection to this address of `host` failed: it is tried last from now on. */
  failed(host: string, ip: string): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    if (name.best === ip) name.best = undefined;
    name.failed.add(ip);
  }

  #nameOf(host: string): Name {
    const known = this.#names.get(host);
    if (known !== undefined) return known;
    if (this.#names.size >= NAMES_MAX) this.#forget();
    const name: Name = {
      host,
      found: [],
      freshUntil: -Infinity,
      answeredAt: -Infinity,
      isAnswered: false,
      asking: undefined,
      isSilent: false,
      best: undefined,
      failed: new Set(),
    };
    this.#names.set(host, name);
    return name;
  }

  #forget(): void {
    for (const [host, { asking }] of this.#names) {
      if (asking === undefined) this.#names.delete(host);
    }
  }

  #ask(name: Name): Promise<void> {
    return name.asking = new Promise((resolve) => {
      const begin = () => void this.#run(name).then(resolve);
      if (this.#running < RUNNING_MAX) begin();
      else this.#queue.push(begin);
    });
  }

  async #run(name: Name): Promise<void> {
    this.#running++;
    let isSlow = false;
    const cancel = this.#clock.after(SLOW_MS, () => {
      if (this.#slow >= SLOW_MAX) return;
      isSlow = true;
      this.#slow++;
      this.#running--;
      this.#next();
    });
    const found = await this.#lookUp(name.host).catch(() => []);
    cancel();
    if (isSlow) this.#slow--;
    else this.#running--;
    if (found.length > 0) this.#learn(name, found);
    name.isAnswered = found.length > 0;
    if (name.isAnswered) name.answeredAt = this.#clock.now();
    name.freshUntil = this.#clock.now() + (found.length > 0 ? this.#freshMs : RETRY_MS);
    name.asking = undefined;
    name.isSilent = false;
    this.#next();
  }

  #next(): void {
    while (this.#running < RUNNING_MAX && this.#queue.length > 0) this.#queue.shift()!();
  }

  #learn(name: Name, found: readonly string[]): void {
    name.found = found;
    for (const ip of name.failed) if (!found.includes(ip)) name.failed.delete(ip);
    if (name.best !== undefined && !found.includes(name.best)) name.best = undefined;
  }

  async #renewed(name: Name, asked: Promise<void>): Promise<void> {
    const isInTime = await settlesWithin(asked, RENEWAL_WAIT_MS, this.#clock);
    if (!isInTime) name.isSilent = name.asking === asked;
  }
}

/** The resolver of this process. */
export const resolver = new Resolver(realClock);

function answerOf({ found, best, failed }: Name): readonly string[] | Fault {
  if (found.length === 0) return new Fault("nameUnknown");
  if (found.length === 1) return found;
  const rest = alternating(found.filter((ip) => ip !== best));
  const hopeful = rest.filter((ip) => !failed.has(ip));
  const sorted = [...hopeful, ...rest.filter((ip) => failed.has(ip))];
  return best === undefined ? sorted : [best, ...sorted];
}

/** Alternates both families, beginning with that of the first address (RFC 8305 section 4). */
function alternating(ips: readonly string[]): string[] {
  const isV6 = (ip: string) => ip.includes(":");
  const first = ips.filter((ip) => isV6(ip) === isV6(ips[0]!));
  const second = ips.filter((ip) => isV6(ip) !== isV6(ips[0]!));
  const length = Math.max(first.length, second.length);
  return Array.from({ length }, (_, i) => [first[i], second[i]]).flat()
    .filter((ip) => ip !== undefined);
}
