/**
 * Data folders with which many tests begin. A run of all tests makes each of them once and copies it for each test,
 * which takes a tenth of the time; a file that is tested alone makes its own.
 */
import { BULK_DEADLINE_MS, withTestDeadline } from "./test_deadline.ts";
import { folderOfRun } from "./test_run.ts";

/**
 * Makes the folder `path`, with what `make` puts there, or with a copy of what it put elsewhere earlier. `make` is
 * called with the path of a folder that does not exist; `name` stands for all that it depends on. `within` is the
 * folder of the run.
 */
export async function fromTemplate(
  name: string,
  path: string,
  make: (path: string) => Promise<void>,
  within = folderOfRun(),
): Promise<void> {
  if (within === undefined) return await make(path);
  const template = `${within}/${name}`;
  // Test files run at the same time, and the first one makes it.
  using lock = await Deno.open(`${template}.lock`, { create: true, write: true });
  const turn = `the turn to look for ${template}`;
  await withTestDeadline(turn, lock.lock(true), undefined, 2 * BULK_DEADLINE_MS);
  try {
    if (!await exists(template)) {
      const unfinished = `${template}.new`;
      await Deno.remove(unfinished, { recursive: true }).catch(() => {});
      await make(unfinished);
      await Deno.rename(unfinished, template);
    }
  } finally {
    await lock.unlock();
  }
  const { success, stderr } = await new Deno.Command("cp", { args: ["-a", template, path] })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
}

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
