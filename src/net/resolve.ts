/**
 * The addresses behind names, for the whole process. A name service that hangs must hold up nobody but those
 * who need its answer: look-ups take threads that file operations and programs need as well (32 of Deno's),
 * so there is one look-up for a name at a time, and few in all.
 *
 * An answer is good for 5 s. What was found last stays good for as long as the service says nothing, or says
 * that the name is gone: a service in trouble says that too. Addresses that just failed are tried last.
 */
import { type Clock, realClock } from "../base/clock.ts";
import { Fault } from "../base/fault.ts";
import { isIp } from "../base/ip.ts";
import { type LookUp, systemLookUp } from "./look_up.ts";

/** How old an answer may get. */
const FRESH_MS = 5_000;
/** How soon a look-up that failed is repeated. */
const RETRY_MS = 1_000;
/** How long a fresh answer is waited for where an old one is at hand. */
const PATIENCE_MS = 250;
/** Look-ups at one time. One that takes longer than `SLOW_MS` gives its place to another … */
const RUNNING_MAX = 4;
const SLOW_MS = 2_000;
/** … as long as there are no more of those than this, each of which takes a thread. */
const SLOW_MAX = 8;
/** Names that are remembered; beyond it, names that are not being looked up are forgotten. */
const NAMES_MAX = 10_000;

interface Name {
  readonly host: string;
  /** What was found last, as the system sorts it; empty if nothing ever was. */
  found: readonly string[];
  /** When it was found, or when looking it up failed. */
  freshUntil: number;
  /** The look-up that runs, or waits for its turn. Resolves when it has ended, found or not. */
  asking: Promise<void> | undefined;
  /** That look-up was waited for in vain. */
  isSilent: boolean;
  /** The address that answered last, and those that failed since they last did. */
  best: string | undefined;
  readonly failed: Set<string>;
}

export class Resolver {
  readonly #clock: Clock;
  readonly #lookUp: LookUp;
  readonly #names = new Map<string, Name>();
  readonly #queue: (() => void)[] = [];
  #running = 0;
  #slow = 0;

  constructor(clock: Clock, lookUp: LookUp = systemLookUp) {
    this.#clock = clock;
    this.#lookUp = lookUp;
  }

  /**
   * The addresses of `host`, those to be tried first in front; `host` itself if it is an address. Resolves
   * with the fault `nameUnknown` where the name has none. Stays pending while the name service is silent and
   * nothing was found before: the caller's deadline then means `nameSilent`. Never rejects.
   */
  async resolve(host: string): Promise<readonly string[] | Fault> {
    if (isIp(host)) return [host];
    const name = this.#nameOf(host);
    if (this.#clock.now() < name.freshUntil) return answerOf(name);
    const asked = name.asking ?? this.#ask(name);
    if (name.found.length === 0) await asked;
    else if (!name.isSilent) await this.#patiently(name, asked);
    return answerOf(name);
  }

  /** A connection to this address of `host` stands. */
  connected(host: string, ip: string): void {
    const name = this.#names.get(host);
    if (name === undefined) return;
    name.best = ip;
    name.failed.delete(ip);
  }

  /** A connection to this address of `host` failed: it is tried last from now on. */
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
    name.freshUntil = this.#clock.now() + (found.length > 0 ? FRESH_MS : RETRY_MS);
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

  async #patiently(name: Name, asked: Promise<void>): Promise<void> {
    const late = Promise.withResolvers<void>();
    const cancel = this.#clock.after(PATIENCE_MS, () => {
      name.isSilent = name.asking === asked;
      late.resolve();
    });
    await Promise.race([asked, late.promise]);
    cancel();
  }
}

/** The one for everything in this process that connects. */
export const resolver = new Resolver(realClock);

function answerOf({ found, best, failed }: Name): readonly string[] | Fault {
  if (found.length === 0) return new Fault("nameUnknown");
  if (found.length === 1) return found;
  const rest = alternating(found.filter((ip) => ip !== best));
  const hopeful = rest.filter((ip) => !failed.has(ip));
  const sorted = [...hopeful, ...rest.filter((ip) => failed.has(ip))];
  return best === undefined ? sorted : [best, ...sorted];
}

/** Both families in turn, beginning with that of the first (RFC 8305 section 4). */
function alternating(ips: readonly string[]): string[] {
  const isV6 = (ip: string) => ip.includes(":");
  const first = ips.filter((ip) => isV6(ip) === isV6(ips[0]!));
  const second = ips.filter((ip) => isV6(ip) !== isV6(ips[0]!));
  const length = Math.max(first.length, second.length);
  return Array.from({ length }, (_, i) => [first[i], second[i]]).flat()
    .filter((ip) => ip !== undefined);
}
