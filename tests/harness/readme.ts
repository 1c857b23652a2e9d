/** Reads the documentation: the commands of a page, and the scripts that readers copy. */
import { writeProgram } from "../../src/base/testing/temp_folder.ts";

const DOCS = new URL("../../.github/docs/", import.meta.url);
const PAGES = [...Deno.readDirSync(DOCS)].filter(({ name }) => name.endsWith(".md"))
  .map(({ name }) => Deno.readTextFileSync(new URL(name, DOCS))).sort();
const ALL = PAGES.join("\n");

/** The script that the README shows under this file name. */
export function scriptOf(name: string): string {
  const [, text] = ALL.split(`\n\`${name}\`:\n\n\`\`\`sh\n`);
  if (text === undefined) throw new Error(`the documentation shows no ${name}`);
  return text.slice(0, text.indexOf("\n```") + 1);
}

/** The blocks of commands on the page of that title, in order. */
export function commandsOf(title: string): string[] {
  const page = PAGES.find((text) => text.startsWith(`# ${title}\n`));
  if (page === undefined) throw new Error(`the documentation has no page ${title}`);
  return [...page.matchAll(/\n```bash\n(.*?)\n```/gs)].map(([, block]) => block!);
}

/** Writes scripts of the documentation into a folder, executable as the documentation says. */
export async function copyScripts(folder: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await writeProgram(`${folder}/${name}`, scriptOf(name));
  }
}
