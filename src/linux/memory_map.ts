/** Reads the list of what is mapped into the memory of a process (proc_pid_smaps(5)). */

/** Addresses from `from`, included, to `to`, excluded. */
export interface MemoryRange {
  readonly from: bigint;
  readonly to: bigint;
}

/** The first line of a mapping: addresses, permissions, offset, device, inode and file. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (r-[x-][ps]) [0-9a-f]+ \S+ [1-9]\d* +\//;
/** A line that counts pages which are not those of the file: written to and kept in memory, or swapped out. */
const OWN_PAGES = /^(?:Anonymous|Swap): +[1-9]/;

/**
 * The mapped files of which all pages are as they are in the file, and that cannot be written to: their pages can be
 * dropped from the memory of the process without any loss. `smaps` is the text of /proc/self/smaps.
 */
export function unchangedFiles(smaps: string): MemoryRange[] {
  const ranges: MemoryRange[] = [];
  let isUnchanged = false;
  for (const line of smaps.split("\n")) {
    if (/^[0-9a-f]+-/.test(line)) {
      const [, from, to] = MAPPING.exec(line) ?? [];
      isUnchanged = from !== undefined;
      if (isUnchanged) ranges.push({ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) });
    } else if (isUnchanged && OWN_PAGES.test(line)) {
      ranges.pop();
      isUnchanged = false;
    }
  }
  return ranges;
}
