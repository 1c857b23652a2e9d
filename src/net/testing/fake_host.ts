/**
 * The fake kernel with what an embedded loop needs in addition: an eventfd, and a wait in another thread
 * that ends when there is something to report, when it is woken, or when the test ends it.
 */
import { ManualClock } from "../../base/clock.ts";
import { EmbeddedLoop } from "../linux/embedded_loop.ts";
import type { LoopHost } from "../linux/embedded_loop.ts";
import { READABLE } from "../../linux/kernel.ts";
import { Loop } from "../../linux/loop.ts";
import { FakeKernel, type FakeOptions } from "../../linux/testing/fake_kernel.ts";

/** A number that no socket gets. */
const EVENTFD = 999;

export class FakeHost extends FakeKernel implements LoopHost {
  /** The time-out of each wait in another thread, oldest first. */
  readonly waits: number[] = [];
  /** How often the loop has polled. */
  polls = 0;
  /** How long a tick of the loop takes, by the test's clock. */
  msPerPoll = 0;
  isEventfdOpen = false;
  /** For the loop's own timers. */
  readonly clock = new ManualClock();
  /** The other thread gets no CPU time: nothing but `endWait` ends a wait. */
  isStarved = false;
  #isWoken = false;
  #eventfdMark = 0;
  /** The number of events of the last poll, without the eventfd. */
  #reported = 0;
  #waiting: (() => void) | undefined;
  #quiet = Promise.withResolvers<void>();

  constructor(options?: FakeOptions) {
    super(options);
  }

  /** A loop on this host, which begins at once. */
  embeddedLoop(): EmbeddedLoop {
    return new EmbeddedLoop(new Loop(this), this, this.clock);
  }

  /** True while the loop waits in another thread. */
  get isWaiting(): boolean {
    return this.#waiting !== undefined;
  }

  /** Ends the wait as its time-out would. */
  endWait(): void {
    this.#waiting?.();
  }

  /** Resolves when the loop has nothing to do and waits. */
  async untilQuiet(): Promise<void> {
    do await this.#quiet.promise; while (!await this.#isStillQuiet());
  }

  /** Lets the callbacks of promises run that the last tick settled, as they may give the loop more to do. */
  async #isStillQuiet(): Promise<boolean> {
    await new Promise((resolve) => setImmediate(resolve));
    return this.#waiting !== undefined;
  }

  async pollElsewhere(timeoutMs: number): Promise<void> {
    this.waits.push(timeoutMs);
    if (!this.isStarved && (timeoutMs === 0 || this.#isWoken || this.hasChanges)) return;
    await new Promise<void>((resolve) => {
      this.#waiting = () => {
        this.#waiting = undefined;
        this.#quiet = Promise.withResolvers();
        resolve();
      };
      this.#quiet.resolve();
    });
  }

  override changed(fd: number): void {
    super.changed(fd);
    if (this.hasChanges && !this.isStarved) this.#waiting?.();
  }

  override watch(fd: number, mark: number): number {
    if (fd === EVENTFD) {
      this.#eventfdMark = mark;
      return 0;
    }
    const result = super.watch(fd, mark);
    // A descriptor that is ready when it is added ends a wait (epoll_ctl(2)).
    if (this.hasChanges && !this.isStarved) this.#waiting?.();
    return result;
  }

  override poll(): number {
    this.polls++;
    this.time += this.msPerPoll;
    this.#reported = super.poll();
    return this.#reported + (this.#isWoken ? 1 : 0);
  }

  override eventFd(index: number): number {
    return index < this.#reported ? super.eventFd(index) : EVENTFD;
  }

  override eventMark(index: number): number {
    return index < this.#reported ? super.eventMark(index) : this.#eventfdMark;
  }

  override eventFlags(index: number): number {
    return index < this.#reported ? super.eventFlags(index) : READABLE;
  }

  eventfd(): number {
    this.isEventfdOpen = true;
    return EVENTFD;
  }

  wake(): void {
    this.#isWoken = true;
    if (!this.isStarved) this.#waiting?.();
  }

  settle(): void {
    this.#isWoken = false;
  }

  override close(fd: number): void {
    if (fd !== EVENTFD) return super.close(fd);
    if (!this.isEventfdOpen) throw new Error("the eventfd was closed twice");
    this.isEventfdOpen = false;
  }
}
