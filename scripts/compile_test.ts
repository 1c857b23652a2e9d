/**
 * Tests of the executables without running them, because that needs a runtime base from the network. Deno
 * itself serves as the base, and its listing shows what would be embedded. The embedded files are then run
 * with the compiled permissions, which shows that nothing is missing.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { compile, stage, type Staged, sums, TARGETS } from "./compile.ts";
import { permissionsFor } from "./permissions.ts";
import { failover, MODES, versionOf } from "./smoke.ts";
import { inTempFolder } from "../src/base/testing/temp_folder.ts";

const ROOT = new URL("../", import.meta.url);
const HOST = Deno.build.target;

async function deno(args: readonly string[], options: Deno.CommandOptions = {}) {
  const command = new Deno.Command(Deno.execPath(), { ...options, args: [...args] });
  const { code, stdout, stderr } = await command.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, err: err! };
}

/** The paths in Deno's tree of embedded files; a package ends in `/*`. */
export function pathsOf(listing: string): string[] {
  const tree = listing.slice(listing.indexOf("Embedded Files"), listing.indexOf("\nFiles:"));
  const folders: string[] = [];
  const paths: string[] = [];
  for (const line of tree.split("\n")) {
    const [, indent, branch, path] = /^((?:[│ ] )*)[├└]─([─┬]) (.*?) \([^()]*\)\s*$/.exec(
      line.replace(/ - [^()]* unique/, ""),
    ) ?? [];
    if (path === undefined) continue;
    const depth = indent!.length / 2;
    folders.length = depth;
    folders.push(path);
    if (branch === "─") paths.push(folders.join("/"));
  }
  return paths;
}

interface Module {
  readonly specifier: string;
  readonly error?: string;
  readonly dependencies?: readonly { readonly code?: { readonly specifier: string } }[];
}

/** Every module and asset that the staged program can load, with its workers; and its npm packages. */
async function loaded({ folder, beside }: Staged) {
  const files = new Set<string>();
  const packages = new Set<string>();
  for (const entry of ["src/main.ts", ...beside]) {
    files.add(entry);
    if (!entry.endsWith(".ts")) continue;
    const { out } = await deno(["info", "--json", entry], { cwd: folder });
    const info = JSON.parse(out) as { modules: Module[]; npmPackages: Record<string, Package> };
    const modules = new Map(info.modules.map((module) => [module.specifier, module]));
    const queue = [`file://${folder}/${entry}`];
    for (const specifier of queue) {
      const module = modules.get(specifier);
      assertEquals(module?.error, undefined, specifier);
      if (specifier.startsWith("file:")) {
        files.add(new URL(specifier).pathname.slice(folder.length + 1));
      }
      // A module that is imported only for its types has no code, and is not loaded when the program runs.
      for (const { code } of module?.dependencies ?? []) {
        if (code !== undefined && !queue.includes(code.specifier)) queue.push(code.specifier);
      }
    }
    for (const { name, version } of Object.values(info.npmPackages)) {
      packages.add(`${name}/${version}`);
    }
  }
  return { files, packages };
}

interface Package {
  readonly name: string;
  readonly version: string;
}

Deno.test("an executable holds every module, worker and asset of the program, and nothing else", async () => {
  await inTempFolder(async (folder) => {
    await Deno.mkdir(`${folder}/staged`);
    const staged = await stage(`${folder}/staged`, "0123456789ab");
    Deno.env.set("DENORT_BIN", Deno.execPath());
    const result = await compile(staged, HOST, `${folder}/failover`).finally(() =>
      Deno.env.delete("DENORT_BIN")
    );
    assert("listing" in result, "complaint" in result ? result.complaint : "");

    const { files, packages } = await loaded(staged);
    assert(files.size > 40, [...files].join("\n"));
    assert([...files].some((path) => path.endsWith("/thread_main.ts")), "no worker was found");

    const isPackage = (path: string) => path.startsWith(".deno_compile_node_modules/");
    const listed = pathsOf(result.listing);
    const embedded = new Set<string>();
    for (const path of listed.filter((path) => !isPackage(path))) {
      if (!path.endsWith("/*")) embedded.add(path);
      else {(await filesUnder(folder + "/staged/", path.slice(0, -2))).forEach((p) =>
          embedded.add(p)
        );}
    }
    assertEquals([...files].filter((path) => !embedded.has(path)), [], "is not embedded");
    assertEquals([...embedded].filter((path) => !files.has(path)), [], "is embedded without need");
    const listedPackages = listed.filter(isPackage).map((path) =>
      /^[^/]+\/[^/]+\/(.*)\/\*$/.exec(path)?.[1]
    );
    assertEquals(listedPackages.toSorted(), [...packages].toSorted(), "npm packages");
  });
});

Deno.test("the listing of embedded files is read as paths", () => {
  const listing = `Compile src/main.ts to x

Embedded Files

x
├── .deno_compile_node_modules/host/deno-std/1.4.0/* (1.36MB - 1.36MB unique)
├── deno.json (1.59KB)
└─┬ src (496.65KB)
  ├── app.ts (13.13KB)
  ├─┬ base (38.17KB)
  │ ├── a.ts (6.48KB)
  │ └── b.ts (996B)
  └── events/stream.ts (4.92KB)

Files: 1.89MB
`;
  assertEquals(pathsOf(listing), [
    ".deno_compile_node_modules/host/deno-std/1.4.0/*",
    "deno.json",
    "src/app.ts",
    "src/base/a.ts",
    "src/base/b.ts",
    "src/events/stream.ts",
  ]);
});

Deno.test("the sources locate files only in ways that work in a compiled program", async () => {
  await inTempFolder(async (folder) => {
    const { beside } = await stage(folder, "");
    let seen = 0;
    for (const path of await filesUnder(`${folder}/`, "src")) {
      if (!path.endsWith(".ts")) continue;
      const text = (await Deno.readTextFile(`${folder}/${path}`)).replaceAll(
        /new URL\(\s*"\.[^"]+",\s*import\.meta\.url,?\s*\)/g,
        "",
      );
      assert(!/import\.meta\.(url|dirname|filename|resolve)/.test(text), path);
      assert(!/\bDeno\.mainModule\b|\bimport\((?!")/.test(text), path);
      // `failover upgrade` starts the program anew, and is itself the program in a compiled one.
      assert(path === "src/main.ts" || !/\bDeno\.execPath\b/.test(text), path);
      seen++;
    }
    assert(seen > 40);
    for (const path of beside) assert((await Deno.stat(new URL(path, ROOT))).isFile, path);
  });
});

/** All files under `root + path`, relative to `root`. */
async function filesUnder(root: string, path: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(root + path)) {
    if (isDirectory) found.push(...await filesUnder(root, `${path}/${name}`));
    else found.push(`${path}/${name}`);
  }
  return found;
}

Deno.test("a compiled program prints its commit", async () => {
  await inTempFolder(async (folder) => {
    await stage(folder, "0123456789ab");
    const args = ["run", "--quiet", ...permissionsFor(Deno.build.os), "src/main.ts", "--version"];
    const { out } = await deno(args, { cwd: folder });
    assertMatch(out, /^failover \d+\.\d+\.\d+ \(commit 0123456789ab, Deno .*\)\n$/);
  });
});

Deno.test("a runtime base that cannot be downloaded gives one line with what to do", async () => {
  await inTempFolder(async (folder) => {
    const env = {
      // Nothing is cached there, and nothing listens at the address of the proxy.
      DENO_DIR: folder,
      HTTPS_PROXY: "http://127.0.0.1:1",
    };
    const script = new URL("compile.ts", import.meta.url).pathname;
    const args = ["run", "-A", "--no-lock", script, "failover-macos-aarch64", "--out", folder];
    const npm = new URL("npm/", `file://${await denoDir()}/`);
    await Deno.symlink(npm.pathname, `${folder}/npm`);
    const { code, out, err } = await deno(args, { env, cwd: ROOT });
    assertEquals([code, out], [1, ""]);
    assertMatch(err, /^Cannot have the runtime base for aarch64-apple-darwin: .* DENORT_BIN\n$/);
  });
});

async function denoDir(): Promise<string> {
  return JSON.parse((await deno(["info", "--json"])).out).denoDir;
}

Deno.test("a runtime base of one platform is not used for several targets", async () => {
  const script = new URL("compile.ts", import.meta.url).pathname;
  const { code, err } = await deno(["run", "-A", script], {
    env: { DENORT_BIN: Deno.execPath() },
  });
  assertEquals([code, err], [
    2,
    "DENORT_BIN is the base of one platform: name the target that it is for\n",
  ]);
});

Deno.test("the checksums are those of sha256sum, for the executables that exist", async () => {
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/failover-linux-x86_64`, "abc");
    assertEquals(
      await sums(folder),
      "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  failover-linux-x86_64\n",
    );
  });
  assertEquals(Object.keys(TARGETS).length, 5);
});

Deno.test("the start task has exactly the permissions of an executable", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  assertEquals(tasks.start, `deno run -q ${permissionsFor("linux").join(" ")} src/main.ts`);
});

const setpriv = Deno.build.os === "linux" && Deno.uid() === 0;

Deno.test({
  name: "the program fails over in both modes as another user in an empty, read-only folder" +
    (setpriv ? "" : " (needs root and setpriv)"),
  ignore: !setpriv,
  async fn() {
    await inTempFolder(async (folder) => {
      for (const name of ["staged", "cache", "empty"]) await Deno.mkdir(`${folder}/${name}`);
      await stage(`${folder}/staged`, "0123456789ab");
      // The other user can read neither our home folder nor the cache in it.
      await copied(Deno.execPath(), `${folder}/deno`);
      await copied(`${await denoDir()}/npm`, `${folder}/cache/npm`);
      for (const name of ["", "/staged", "/cache", "/empty"]) {
        await Deno.chmod(`${folder}${name}`, 0o555);
      }
      const command = [
        ...["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs"],
        ...["env", "-i", "-C", `${folder}/empty`, `TMPDIR=${folder}/empty`, "HOME=/nonexistent"],
        ...[`DENO_DIR=${folder}/cache`, `${folder}/deno`, "run", "--quiet", "--cached-only"],
        ...permissionsFor("linux"),
        `${folder}/staged/src/main.ts`,
      ];
      assertStringIncludes(await versionOf(command), "commit 0123456789ab");
      for (const mode of Object.values(MODES)) {
        assertStringIncludes(await failover(command, mode), `${mode.name}: failed over`);
      }
    });
  },
});

/** By another process: a program that this one has just written may still be open in a child of another test. */
async function copied(from: string, to: string): Promise<void> {
  const { success } = await new Deno.Command("cp", { args: ["-r", from, to] }).output();
  assert(success, `cannot copy ${from}`);
}
