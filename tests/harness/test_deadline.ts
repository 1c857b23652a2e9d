/**
 * The deadline of every wait of a test. It is long, because a busy machine must not fail a test, and
 * it measures nothing. Each caller names what it waits for, which a failure shows.
 */

/** Longer than anything takes in a scenario. */
export const TEST_DEADLINE_MS = 30_000;

/** For work that takes long on a busy machine: to move many megabytes, or to make a database. */
export const BULK_DEADLINE_MS = 4 * TEST_DEADLINE_MS;

/** Awaits `promise`; after the deadline it rejects with `what` and the text of `more`. */
export async function withTestDeadline<T>(
  what: string,
  promise: Promise<T>,
  more: () => string = () => "",
  deadlineMs = TEST_DEADLINE_MS,
): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tooLong = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${deadlineMs / 1_000} s for ${what}\n${more()}`));
    }, deadlineMs);
  });
  try {
    return await Promise.race([promise, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Awaits `promise` as long as `count` grows, for work that is as long as the machine is busy: it rejects as
 * `withTestDeadline` does when `count` has not grown for between one and two `TEST_DEADLINE_MS`.
 */
export async function withProgress<T>(
  what: string,
  promise: Promise<T>,
  count: () => number,
  more: () => string = () => "",
): Promise<T> {
  const stopped = Promise.withResolvers<never>();
  let before = -1;
  const timer = setInterval(() => {
    const now = count();
    if (now === before) stopped.reject(new Error(`nothing more of ${what} than ${now}\n${more()}`));
    before = now;
  }, TEST_DEADLINE_MS);
  try {
    return await Promise.race([promise, stopped.promise]);
  } finally {
    clearInterval(timer);
  }
}

/** The pause between two looks, in milliseconds, where no event says when to look. */
const LOOK_MS = 20;

/** Looks again and again until `fact` holds; after `TEST_DEADLINE_MS` it rejects as `withTestDeadline` does. */
export async function untilTrue(
  what: string,
  fact: () => boolean | Promise<boolean>,
  more?: () => string,
): Promise<void> {
  let isOver = false;
  const looking = async () => {
    while (!isOver && !await fact()) await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  };
  try {
    await withTestDeadline(what, looking(), more);
  } finally {
    isOver = true;
  }
}
