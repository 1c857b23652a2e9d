/** Finds the open descriptors of this process. Pure, but for the function that it is given. */

/** A search ends after so many numbers in a row that are not open. */
const GAP_MAX = 256;

/**
 * The open descriptors below `limit`, in ascending order. The kernel assigns the lowest free number (open(2)), so
 * none is open after a long gap.
 */
export function* openDescriptors(
  isOpen: (fd: number) => boolean,
  limit = Infinity,
): Generator<number, void, undefined> {
  for (let fd = 0, gap = 0; fd < limit && gap < GAP_MAX; fd++) {
    if (isOpen(fd)) {
      gap = 0;
      yield fd;
    } else gap++;
  }
}
