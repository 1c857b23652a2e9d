/**
 * `deno task compile [target…] [--out FOLDER] [--commit ID]`: one executable for each target, and their
 * SHA-256 sums. It compiles a copy of the sources, without tests, into which it has written the commit.
 *
 * Files that the program opens besides its modules (worker entries, assets) are found by the only form in
 * which they may be written, `new URL("./name", import.meta.url)`, and embedded; there is no list to keep.
 */
import { parseArgs } from "@std/cli/parse-args";
import { fileURLToPath } from "node:url";
import { permissionsFor } from "./permissions.ts";

/** The runtime base (Deno's triple) of each executable. */
export const TARGETS: Readonly<Record<string, string>> = {
  "failover-linux-x86_64": "x86_64-unknown-linux-gnu",
  "failover-linux-aarch64": "aarch64-unknown-linux-gnu",
  "failover-macos-x86_64": "x86_64-apple-darwin",
  "failover-macos-aarch64": "aarch64-apple-darwin",
  "failover-windows-x86_64.exe": "x86_64-pc-windows-msvc",
};

const ROOT = new URL("../", import.meta.url);
const NOT_SHIPPED = /(_test\.ts|\/testing)$/;
const BESIDE = /new URL\(\s*"(\.[^"]+)",\s*import\.meta\.url,?\s*\)/g;

export interface Staged {
  readonly folder: string;
  /** Files to embed that no import leads to, relative to the folder. */
  readonly beside: readonly string[];
}

/** Copies the program's sources into an empty folder and writes the commit into them. */
export async function stage(folder: string, commit: string): Promise<Staged> {
  const beside = new Set<string>();
  async function copy(path: string): Promise<void> {
    if (NOT_SHIPPED.test(path)) return;
    const from = new URL(path, ROOT);
    if ((await Deno.stat(from)).isDirectory) {
      await Deno.mkdir(`${folder}/${path}`);
      for await (const { name } of Deno.readDir(from)) await copy(`${path}/${name}`);
      return;
    }
    await Deno.copyFile(from, `${folder}/${path}`);
    if (!path.endsWith(".ts")) return;
    const text = await Deno.readTextFile(from);
    for (const [, name] of text.matchAll(BESIDE)) {
      beside.add(new URL(name!, from).pathname.slice(ROOT.pathname.length));
    }
  }
  for (const path of ["deno.json", "deno.lock", "src"]) await copy(path);
  await Deno.writeTextFile(`${folder}/src/build.json`, JSON.stringify({ commit }));
  return { folder, beside: [...beside].sort() };
}

/** Compiles the staged sources. Returns Deno's listing of the embedded files, or its error. */
export async function compile(
  staged: Staged,
  triple: string,
  output: string,
): Promise<{ readonly listing: string } | { readonly complaint: string }> {
  const os = /linux|darwin|windows/.exec(triple)![0];
  const command = new Deno.Command(Deno.execPath(), {
    cwd: staged.folder,
    env: { NO_COLOR: "1" },
    args: [
      "compile",
      // `deno task check` has checked the types.
      "--no-check",
      "--frozen",
      "--exclude-unused-npm",
      // Otherwise Deno keeps it in the shared temporary folder, where other users could have placed a file.
      "--no-code-cache",
      ...permissionsFor(os),
      ...staged.beside.flatMap((path) => ["--include", path]),
      ...["--target", triple, "--output", output, "src/main.ts"],
    ],
  });
  const { success, stdout, stderr } = await command.output();
  const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  return success ? { listing: text } : { complaint: complaintOf(triple, text) };
}

/** The error for a person: one line if the runtime base is missing, else Deno's whole output. */
function complaintOf(triple: string, text: string): string {
  const url = /\S+\/denort-\S+?\.zip/.exec(text)?.[0];
  if (url === undefined) return text.trimEnd();
  return `Cannot have the runtime base for ${triple}: ${url.replace(/^\(/, "")} can't be reached ` +
    "and isn't cached; put it somewhere and name it in DENORT_BIN";
}

/** One line in the format of sha256sum(1) for each executable in the folder, sorted by name. */
export async function sums(folder: string): Promise<string> {
  const lines: string[] = [];
  for (const name of Object.keys(TARGETS).sort()) {
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = await Deno.readFile(`${folder}/${name}`);
    } catch (error) {
      if (error instanceof Deno.errors.NotFound) continue;
      throw error;
    }
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    lines.push(`${digest.toHex()}  ${name}\n`);
  }
  return lines.join("");
}

/** The commit that is checked out, marked if the files differ from it; a word where there is no git. */
async function currentCommit(): Promise<string> {
  try {
    const args = ["describe", "--always", "--abbrev=12", "--exclude=*", "--dirty"];
    const { success, stdout } = await new Deno.Command("git", { args, cwd: ROOT }).output();
    if (success) return new TextDecoder().decode(stdout).trim();
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  return "unknown";
}

async function main(): Promise<number> {
  const args = parseArgs(Deno.args, { string: ["out", "commit", "_"] });
  const names = args._.length > 0 ? args._.map(String) : Object.keys(TARGETS);
  const unknown = names.filter((name) => TARGETS[name] === undefined);
  if (unknown.length > 0) {
    console.error(
      `Cannot compile ${unknown.join(", ")}: known are ${Object.keys(TARGETS).join(", ")}`,
    );
    return 2;
  }
  if (Deno.env.has("DENORT_BIN") && names.length > 1) {
    console.error("DENORT_BIN is the base of one platform: name the target that it is for");
    return 2;
  }
  const out = await Deno.realPath(
    await folderAt(String(args.out ?? fileURLToPath(new URL("dist", ROOT)))),
  );
  const folder = await Deno.makeTempDir({ prefix: "failover-compile-" });
  try {
    const staged = await stage(folder, String(args.commit || await currentCommit()));
    for (const name of names) {
      const result = await compile(staged, TARGETS[name]!, `${out}/${name}`);
      if ("complaint" in result) {
        console.error(result.complaint);
        return 1;
      }
      const { size } = await Deno.stat(`${out}/${name}`);
      console.log(`${out}/${name}  ${(size / 1e6).toFixed(1)} MB`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  await Deno.writeTextFile(`${out}/SHA256SUMS`, await sums(out));
  return 0;
}

async function folderAt(path: string): Promise<string> {
  await Deno.mkdir(path, { recursive: true });
  return path;
}

if (import.meta.main) Deno.exit(await main());
