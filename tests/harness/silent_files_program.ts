/**
 * A process in which no file operation comes to an end, as with a dead file server: opening a named pipe
 * waits for a writer, and enough of these take all threads that Deno has for files. It sends requests to a
 * folder, and reads the rest of a response that has begun, with a manual clock, and prints the results.
 * Its argument is a folder with a named pipe `pipe`, and a file `page` of more than one part.
 */
import { ManualClock } from "../../src/base/clock.ts";
import { folderBackup } from "../../src/gateway/static/static.ts";

/** Deno has 32 threads for files. */
const THREADS = 48;
/** Longer than the proxy waits for a file system. */
const LATE_MS = 11_000;

const [folder] = Deno.args as [string];
const clock = new ManualClock();
const backup = folderBackup(folder, clock);
const ask = () => backup(new Request("http://a.example/page"));
const said: unknown[] = [];

/** Ends when `block` has freed all threads again. */
async function whileBlocked(work: () => Promise<void>): Promise<void> {
  const opening = Array.from({ length: THREADS }, () => Deno.open(`${folder}/pipe`));
  await work();
  using _writer = Deno.openSync(`${folder}/pipe`, { read: true, write: true });
  for (const each of await Promise.all(opening)) each.close();
}

/** The outcome of `pending` after the clock was advanced. */
async function late<T>(pending: Promise<T>): Promise<unknown> {
  const settled = pending.catch((error: Error) => error.message);
  await clock.advance(LATE_MS);
  return await settled;
}

const first = await ask();
const reader = first.body!.getReader();
await reader.read();
await whileBlocked(async () => {
  said.push((await late(ask()) as Response).status);
  said.push(await late(reader.read()));
});
const again = await ask();
said.push(again.status, (await again.arrayBuffer()).byteLength, clock.pending);
console.log(JSON.stringify(said));
