/**
 * The deadline of everything a test waits for. It is long, because a loaded machine must not fail a
 * test, and it is never the measure of anything: whoever waits names what for, and the failure says so.
 */

/** Longer than any promise the proxy makes in a scenario. */
export const PATIENCE_MS = 30_000;

/** Awaits `promise`; after `PATIENCE_MS` fails with `what`, and with what `more` knows by then. */
export async function patiently<T>(
  what: string,
  promise: Promise<T>,
  more: () => string = () => "",
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${PATIENCE_MS / 1_000} s in vain for ${what}\n${more()}`));
    }, PATIENCE_MS);
  });
  try {
    return await Promise.race([promise, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}
