/**
 * Work that ends later and then calls one listener, without a promise. It can also be awaited; only then a promise
 * is made.
 */

/** Is called when work has ended. */
export interface EndListener {
  /** `error`: why it failed; undefined if it succeeded. Must not throw. */
  ended(error?: unknown): void;
}

/** Work under way. It ends once. */
export class Task implements PromiseLike<void> {
  #isOver = false;
  #error: unknown;
  #listener: EndListener | undefined;

  /** Ends it, with an error if it failed. Later calls are ignored. */
  end(error?: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#error = error;
    this.#listener?.ended(error);
  }

  /** Calls `listener` once: at once if it has ended already. There is one listener. */
  whenEnded(listener: EndListener): void {
    if (this.#isOver) listener.ended(this.#error);
    else this.#listener = listener;
  }

  then<Value = void, Reason = never>(
    onEnded?: ((value: void) => Value | PromiseLike<Value>) | null,
    onFailed?: ((error: unknown) => Reason | PromiseLike<Reason>) | null,
  ): Promise<Value | Reason> {
    const promise = new Promise<void>((resolve, reject) => {
      this.whenEnded({ ended: (error) => error === undefined ? resolve() : reject(error) });
    });
    return promise.then(onEnded, onFailed);
  }
}
