/** What the files of a run of all tests share: a folder, in which everybody may write. */

/** The variable that names the folder. */
export const TEST_RUN = "TESTS_FOLDER";

/** The file in it that has the messages of failed tests. */
export const FAILURES = "failures";

/** The folder of this run; undefined if a file is tested alone. */
export function folderOfRun(): string | undefined {
  return Deno.env.get(TEST_RUN);
}

/**
 * Keeps why a test failed, before it is reported: `deno test` prints its messages only at its end, which it does not
 * reach if it panics or hangs.
 */
export function noteFailure(name: string, error: unknown): void {
  const folder = folderOfRun();
  if (folder === undefined) return;
  const text = `${name}\n${Deno.inspect(error)}\n\n`;
  Deno.writeTextFileSync(`${folder}/${FAILURES}`, text, { append: true });
}
