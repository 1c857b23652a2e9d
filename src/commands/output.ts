/** What a command prints on stdout, and what follows if that cannot be written. */

/** Exit code when the reader of stdout has left: as of a program that SIGPIPE ends, 128 + 13 (signal(7)). */
export const EXIT_READER_GONE = 141;

/** A line could not be printed; the message says why, for a person. */
export class OutputFailed extends Error {
  override readonly name = "OutputFailed";

  /** `isReaderGone`: nobody reads any more, as behind `| head -1`; that is no error. */
  constructor(readonly isReaderGone: boolean, reason: string) {
    super(reason);
  }
}

/** Prints one line. Throws `OutputFailed`: `console.log` would say nothing of a reader that has left. */
export function printLine(
  text: string,
  write: (bytes: Uint8Array) => number = (bytes) => Deno.stdout.writeSync(bytes),
): void {
  let rest = new TextEncoder().encode(`${text}\n`);
  try {
    while (rest.length > 0) rest = rest.subarray(write(rest));
  } catch (error) {
    const isReaderGone = error instanceof Deno.errors.BrokenPipe;
    const words = error instanceof Error
      ? error.message.replace(/ \(os error.*/, "")
      : String(error);
    throw new OutputFailed(isReaderGone, words);
  }
}
