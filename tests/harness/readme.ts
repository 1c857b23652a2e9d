/** The README as its readers use it: the commands of a section to type, and the scripts to copy. */

const README = await Deno.readTextFile(new URL("../../README.md", import.meta.url));

/** The script that the README shows under this file name. */
export function scriptOf(name: string): string {
  const [, text] = README.split(`\n\`${name}\`:\n\n\`\`\`sh\n`);
  if (text === undefined) throw new Error(`the README shows no ${name}`);
  return text.slice(0, text.indexOf("\n```") + 1);
}

/** The blocks of commands under a heading, up to the next heading, in order. */
export function commandsOf(heading: string): string[] {
  const [, rest] = README.split(`\n### ${heading}\n`);
  if (rest === undefined) throw new Error(`the README has no section ${heading}`);
  const section = rest.slice(0, rest.search(/\n##/));
  return [...section.matchAll(/\n```bash\n(.*?)\n```/gs)].map(([, block]) => block!);
}

/** Writes scripts of the README into a folder, executable as the reader is told to make them. */
export async function copyScripts(folder: string, ...names: readonly string[]): Promise<void> {
  for (const name of names) {
    await Deno.writeTextFile(`${folder}/${name}`, scriptOf(name));
    await Deno.chmod(`${folder}/${name}`, 0o755);
  }
}
