/**
 * How late this machine is, for tests that measure times: the time in which any process of it waited for a core or a
 * disk, as the proxy and its programs may have been among them. A timer runs meanwhile, since it also sees when the whole
 * machine stands still: its total delay is added twice. And there is a second for the processes that are started and for
 * the client of the test.
 */

const TICK_MS = 10;
const FIXED_MS = 1_000;

/**
 * How long some process of this machine has waited for a core or a disk so far, in milliseconds (PSI, the kernel's
 * Documentation/accounting/psi.rst); 0 where the kernel does not tell.
 */
function waitedMs(): number {
  const total = (what: string) => {
    try {
      const text = Deno.readTextFileSync(`/proc/pressure/${what}`);
      return Number(/^some .*total=(\d+)$/m.exec(text)?.[1] ?? 0) / 1_000;
    } catch {
      return 0;
    }
  };
  return total("cpu") + total("io");
}

/** Measures how late this machine is, from when it is made until its disposal. */
export class Lateness implements Disposable {
  readonly #waitedMs = waitedMs();
  #lateMs = 0;
  #at = performance.now();
  readonly #timer = setInterval(() => {
    const now = performance.now();
    this.#lateMs += Math.max(0, now - this.#at - 2 * TICK_MS);
    this.#at = now;
  }, TICK_MS);

  /** What a bound must be extended by so far, in milliseconds. */
  get allowanceMs(): number {
    return FIXED_MS + 2 * this.#lateMs + waitedMs() - this.#waitedMs;
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}
