/**
 * A process without a free descriptor that sends a request to a folder and to a page, and prints the two
 * statuses. In a separate process, since nothing else works without descriptors. Arguments: the folder,
 * the page.
 */
import { realClock } from "../../src/base/clock.ts";
import { folderBackup, pageBackup } from "../../src/gateway/static/static.ts";

const [folder, page] = Deno.args as [string, string];
const backups = [folderBackup(folder, realClock), pageBackup(page, realClock)];
const request = new Request("http://a.example/page");
// Once before, so that all modules that are loaded on demand are loaded.
for (const backup of backups) await (await backup(request)).body?.cancel();

const taken: Deno.FsFile[] = [];
const TAKEN_MAX = 100_000;
try {
  while (taken.length < TAKEN_MAX) taken.push(Deno.openSync(page));
} catch {
  // No descriptor is left.
}
const statuses: number[] = [];
for (const backup of backups) statuses.push((await backup(request)).status);
for (const file of taken) file.close();
statuses.push((await backups[0]!(request)).status);
console.log(JSON.stringify(statuses));
