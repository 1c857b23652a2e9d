/** Files, functions and links that the documentation names exist. */
import { assert, assertEquals } from "@std/assert";

const ROOT = new URL("../", import.meta.url);
const DOCS = new URL(".github/", ROOT);

/** The Markdown files below `.github/` and the README. */
function pages(folder = DOCS): URL[] {
  return [...Deno.readDirSync(folder)].flatMap((entry) =>
    entry.isDirectory
      ? pages(new URL(`${entry.name}/`, folder))
      : entry.name.endsWith(".md")
      ? [new URL(entry.name, folder)]
      : []
  );
}

function exists(url: URL): boolean {
  try {
    Deno.statSync(url);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Mentions of a file, alone or with a name in it, such as `relay/splice/flow.ts:pump`. */
function mentions(text: string): { readonly path: string; readonly name: string | undefined }[] {
  const found = text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|sh|md))(?::(\w+))?`/g);
  return [...found].map(([, path, name]) => ({ path: path!, name }));
}

Deno.test("every file and function that the documentation names exists", () => {
  const missing: string[] = [];
  let checked = 0;
  for (const page of [...pages(), new URL("README.md", ROOT)]) {
    for (const { path, name } of mentions(Deno.readTextFileSync(page))) {
      const candidates = [
        new URL(path, ROOT),
        new URL(`src/${path}`, ROOT),
        new URL(`.github/${path}`, ROOT),
      ];
      const file = candidates.find(exists);
      checked++;
      if (file === undefined) missing.push(`${page.pathname.split("/").at(-1)}: ${path}`);
      else if (
        name !== undefined && !new RegExp(`\\b${name}\\b`).test(Deno.readTextFileSync(file))
      ) {
        missing.push(`${page.pathname.split("/").at(-1)}: ${path} has no ${name}`);
      }
    }
  }
  assert(checked > 30, `only ${checked} mentions`);
  assertEquals(missing, []);
});

Deno.test("every link of the documentation to a file of the repository leads to one that exists", () => {
  const broken: string[] = [];
  for (const page of [...pages(), new URL("README.md", ROOT)]) {
    for (const [, to] of Deno.readTextFileSync(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      if (!exists(new URL(to!, page))) broken.push(`${page.pathname.split("/").at(-1)}: ${to}`);
    }
  }
  assertEquals(broken, []);
});

Deno.test("the top level holds what belongs there, and nothing that was left by chance", async () => {
  const files = ["Dockerfile", "LICENSE", "README.md", "deno.json", "deno.lock"];
  const expected = [...files, "scripts", "src", "tests"];
  const names = await trackedNames() ?? expected; // an archive of the sources has no list
  assertEquals(names.filter((name) => !name.startsWith(".")), expected);
});

/** What git keeps at the top level, sorted; undefined outside of a repository. */
async function trackedNames(): Promise<readonly string[] | undefined> {
  const args = ["-c", "safe.directory=*", "ls-tree", "--name-only", "HEAD"];
  const { success, stdout } = await new Deno.Command("git", { args, cwd: ROOT, stderr: "null" })
    .output().catch(() => ({ success: false, stdout: new Uint8Array() }));
  return success ? new TextDecoder().decode(stdout).trim().split("\n").sort() : undefined;
}
