/**
 * The documentation: each command of each page is run, or checked with `--check-config`. Commands that
 * cannot be run here are in `ELSEWHERE`, with the reason, and no others are left out.
 */
import { assert, assertEquals } from "@std/assert";
import { COMMAND_NAMES, flagsOf } from "../src/config/commands.ts";
import { flagOf, KEYS } from "../src/config/options.ts";
import { sums } from "../scripts/compile.ts";
import { permissionsFor } from "../scripts/permissions.ts";
import { writeProgram } from "../src/base/testing/temp_folder.ts";
import { Folder } from "./harness/folder.ts";
import { scriptOf } from "./harness/readme.ts";

const ROOT = new URL("../", import.meta.url);
const TASKS = JSON.parse(Deno.readTextFileSync(new URL("deno.json", ROOT))).tasks;

interface Page {
  readonly name: string;
  readonly text: string;
}

/** README.md and every page below `.github/`. */
const PAGES: readonly Page[] = [
  { name: "README.md", text: Deno.readTextFileSync(new URL("README.md", ROOT)) },
  ...pagesBelow(new URL(".github/", ROOT), ""),
];

function pagesBelow(folder: URL, prefix: string): Page[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return pagesBelow(new URL(`${name}/`, folder), `${prefix}${name}/`);
    if (!name.endsWith(".md")) return [];
    return [{ name: prefix + name, text: Deno.readTextFileSync(new URL(name, folder)) }];
  });
}

/** The code blocks of a page in one language. */
function blocksOf({ text }: Page, language: string): string[] {
  return [...text.matchAll(new RegExp(`\`\`\`${language}\n(.*?)\n\`\`\``, "gs"))].map(
    ([, block]) => block!,
  );
}

/** Commands that are not run here. Each pattern must match at least one. */
const ELSEWHERE: readonly { readonly what: RegExp; readonly why: string }[] = [
  { what: /^npx -y deno@2\.9\.6 task demo$/, why: "scenarios/demo_test.ts runs the task" },
  { what: /^deno task demo$/, why: "scenarios/demo_test.ts runs the task" },
  { what: /^npx -y deno@2\.9\.6 task test$/, why: "it would run this test" },
  { what: /^deno task test$/, why: "it would run this test" },
  { what: /^deno task compile failover-linux-x86_64$/, why: "scripts/compile_test.ts runs it" },
  { what: /^FAILOVER_(FIRST_)?SEED=\S+ deno task test tests\/simulation$/, why: "tests run tests" },
  { what: /^curl .*\/scripts\/install\.sh \| sh$/, why: "scripts/install_test.ts runs the script" },
  { what: /^gh attestation verify /, why: "needs a release on GitHub" },
  { what: /^deno install --global --name failover /, why: "scripts/packaging_test.ts runs it" },
];

/** Pages whose commands another test runs, in their order. */
const WHOLE_PAGES: Readonly<Record<string, string>> = {
  "docs/postgres.md": "scenarios/postgres_recipe_test.ts",
};

interface Command {
  readonly page: string;
  readonly line: string;
}

/** The commands of all pages, one line each, without the comment after `#`. */
function commands(): Command[] {
  return PAGES.filter(({ name }) => WHOLE_PAGES[name] === undefined).flatMap((page) =>
    blocksOf(page, "bash").flatMap((block) => block.split("\n")).map((line) => ({
      page: page.name,
      line: line.replace(/\s+#.*$/, "").trim(),
    })).filter(({ line }) => line !== "")
  );
}

/** Also true for programs that this system may not have. */
const isElsewhere = ({ line }: Command) =>
  ELSEWHERE.some(({ what }) => what.test(line)) ||
  (Deno.build.os !== "linux" && line.startsWith("sha256sum "));

/** The arguments and variables of the program in `docker run -e NAME=value IMAGE flags`. */
function inContainer(line: string): string {
  const [settings, flags] = line.split(" ghcr.io/failover/failover");
  assert(settings !== undefined && flags !== undefined, `another image: ${line}`);
  const env = [...settings.matchAll(/ -e (\S+)/g)].map(([, pair]) => pair);
  return [...env, `failover${flags}`].join(" ");
}

/** The line with the name `failover`, and with the folder of the test instead of the reader's. */
function adapted(line: string, folder: string): string {
  const plain = line.startsWith("docker run ") ? inContainer(line) : line;
  return plain.replace(/^deno task start\b/, "failover")
    .replace("/srv/static", `${folder}/static`)
    .replaceAll("~/", `${folder}/`);
}

/** Makes the files that a reader of the pages has, and puts `failover` into the PATH. */
async function prepare(folder: Folder): Promise<void> {
  await Deno.mkdir(folder.at("static"));
  await folder.write("static/index.html", "static\n");
  await folder.write("sorry.html", "sorry\n");
  const [example] = blocksOf(PAGES[0]!, "yaml");
  await folder.write("failover.yaml", example!.replace(/^# failover\.yaml\n/, ""));
  for (const name of ["is-usable.sh", "promote.sh"]) await folder.script(name, "exit 0");
  await folder.write("password", "secret\n");
  for (const name of ["redis_check.sh", "redis_promote.sh", "mysql_promote.sh"]) {
    await folder.write(name, scriptOf(name));
    await Deno.chmod(folder.at(name), 0o755);
  }
  await Deno.mkdir(folder.at("release"));
  await folder.write("release/failover-linux-x86_64", "a release\n");
  await folder.write("SHA256SUMS", await sums(folder.at("release")));
  await Deno.rename(folder.at("release/failover-linux-x86_64"), folder.at("failover-linux-x86_64"));
  const main = new URL("src/main.ts", ROOT).pathname;
  const config = new URL("deno.json", ROOT).pathname;
  const run = [Deno.execPath(), "run", "-q", "--no-check", `--config=${config}`];
  const program = [...run, ...permissionsFor(Deno.build.os), main].map((word) => `'${word}'`);
  const end = `case "$*" in *--generate*|*--version*) ;; *) set -- "$@" --check-config ;; esac`;
  await Deno.mkdir(folder.at("bin"));
  const text = `#!/bin/sh\n${end}\nexec ${program.join(" ")} "$@"\n`;
  await writeProgram(folder.at("bin/failover"), text);
}

/** Variables of our own environment that would configure the program. */
const CONFIGURES = /^(PORT|HOSTS|MAX_BACKOFF|FAILOVER_.*)$/;

const onPosix = { ignore: Deno.build.os === "windows" };

Deno.test({
  name: "the program starts with every command of the documentation",
  ...onPosix,
  async fn() {
    await using folder = await Folder.make();
    await prepare(folder);
    const kept = Object.entries(Deno.env.toObject()).filter(([name]) => !CONFIGURES.test(name));
    const path = `${folder.at("bin")}:${Deno.env.get("PATH")}`;
    const env = { ...Object.fromEntries(kept), PATH: path };
    const wrong: string[] = [];
    const runnable = commands().filter((command) => !isElsewhere(command));
    assert(runnable.length > 8, `only ${runnable.length} commands`);
    for (const { page, line } of runnable) {
      const { code, stdout, stderr } = await new Deno.Command("sh", {
        args: ["-euc", adapted(line, folder.path)],
        cwd: folder.path,
        env,
        clearEnv: true,
        stdin: "null",
      }).output();
      const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      if (code !== 0) wrong.push(`${page}: ${line}\n${said}`);
      else if (/warning/i.test(said)) wrong.push(`${page}: ${line} warns\n${said}`);
    }
    assertEquals(wrong, []);
  },
});

Deno.test("a command that is run elsewhere is still in the documentation, and its task exists", () => {
  const all = commands();
  for (const { what, why } of ELSEWHERE) {
    assert(all.some(({ line }) => what.test(line)), `${what} (${why}) is on no page`);
  }
  for (const [page, test] of Object.entries(WHOLE_PAGES)) {
    assert(PAGES.some(({ name }) => name === page), page);
    assert(Deno.statSync(new URL(`tests/${test}`, ROOT)).isFile);
  }
});

Deno.test("every task that the documentation names exists", () => {
  const unknown = PAGES.flatMap(({ name, text }) =>
    [...text.matchAll(/\bdeno(?:@[\d.]+)? task ([a-z][a-z0-9]*)/g)]
      .filter(([, task]) => TASKS[task!] === undefined)
      .map(([, task]) => `${name}: deno task ${task}`)
  );
  assertEquals(unknown, []);
});

/** Flags of other programs that the pages name, and of our scripts. */
const FOREIGN_FLAGS = new Set([
  ...[
    "--check",
    "--ignore-missing",
    "--repo",
    "--init",
    "--rewrite",
    "--version",
    "--dir",
    "--stay",
    "--servers",
    "--jobs",
  ],
  ...["--global", "--no-prompt", "--deny-import", "--allow-net", "--allow-read", "--allow-write"],
  ...["--allow-env", "--allow-run", "--allow-sys", "--allow-ffi", "--rounds", "--seconds"],
  // Of V8.
  ...["--bytecode-old-age", "--stress-flush-code", "--expose-gc"],
  ...["--username", "--auth", "--source-server", "--threads", "--no-psqlrc", "--no-password"],
  // etcdutl and etcdctl.
  ...["--bump-revision", "--mark-compacted", "--prefix"],
]);

Deno.test("every flag that the documentation names is a flag of failover, or of a known other program", () => {
  const ofCommands = COMMAND_NAMES.flatMap((name) => Object.keys(flagsOf(name)));
  const ours = new Set([...KEYS.map(flagOf), ...ofCommands.map((flag) => `--${flag}`)]);
  const unknown = PAGES.flatMap(({ name, text }) =>
    [...text.matchAll(/(?<![\w-])(--[a-z][a-z0-9-]*)/g)]
      .map(([flag]) => flag)
      .filter((flag) => !ours.has(flag) && !FOREIGN_FLAGS.has(flag))
      .map((flag) => `${name}: ${flag}`)
  );
  assertEquals(unknown, []);
});

Deno.test("every metric that the documentation names is in the reference", () => {
  const reference = PAGES.find(({ name }) => name === "docs/events.md")!.text;
  const unknown = PAGES.filter(({ name }) => name !== "CHANGELOG.md").flatMap(({ name, text }) =>
    [...text.matchAll(/`(failover_[a-z_]+)`/g)]
      .filter(([, metric]) => !reference.includes(`| \`${metric}\` |`))
      .map(([, metric]) => `${name}: ${metric}`)
  );
  assertEquals(unknown, []);
});

Deno.test({
  name: "every script and every fragment of shell in the documentation is valid sh",
  ...onPosix,
  async fn() {
    for (const page of PAGES) {
      for (const script of [...blocksOf(page, "sh"), ...blocksOf(page, "bash")]) {
        const { success, stderr } = await new Deno.Command("sh", { args: ["-nc", script] })
          .output();
        assert(success, `${page.name}: ${new TextDecoder().decode(stderr)}\n${script}`);
      }
    }
  },
});

/**
 * The commands to a running proxy that the pages name, in code blocks without a language and in the text:
 * `failover hold [--max 30s] / release` is two of them. What follows two spaces is a description.
 */
function operatorCommands(): Command[] {
  return PAGES.filter(({ name }) => name !== "CHANGELOG.md").flatMap(({ name, text }) => {
    const inBlocks = blocksOf({ name, text }, "").flatMap((block) => block.split("\n"));
    const inText = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
    return [...inBlocks, ...inText].filter((line) => /^failover [a-z]/.test(line))
      .flatMap((line) => line.split(/ {2,}/)[0]!.split(" / "))
      .map((line) => ({
        page: name,
        line: line.replace("[OPTIONS of the proxy]", "-p 1 -H a:1,b:1").replace(/[[\]]/g, "")
          .replace(/^failover /, ""),
      }));
  });
}

Deno.test({
  name: "the program accepts every command to a running proxy in the documentation",
  ...onPosix,
  async fn() {
    await using folder = await Folder.make();
    const all = operatorCommands();
    const missing = COMMAND_NAMES.filter((name) =>
      !all.some(({ line }) => line.split(" ")[0] === name)
    );
    assertEquals(missing, [], "commands that no page names");
    const main = new URL("src/main.ts", ROOT).pathname;
    const run = ["run", "-q", "--no-check", ...permissionsFor(Deno.build.os), main];
    const wrong: string[] = [];
    for (const { page, line } of all) {
      const words = line.split(" ");
      const needsNone = words[0] === "explain" || words.includes("--state-dir");
      const control = needsNone ? [] : ["--control", folder.at("none.sock")];
      const { code, stderr } = await new Deno.Command(Deno.execPath(), {
        args: [...run, ...words, ...control],
        cwd: folder.path,
      }).output();
      // No proxy can be reached, and no state folder is there; the command line is right.
      if (code === (words[0] === "explain" ? 0 : 3)) continue;
      wrong.push(`${page}: failover ${line}: ${code} ${new TextDecoder().decode(stderr)}`);
    }
    assertEquals(wrong, []);
  },
});

Deno.test({
  name: "the first check script of the documentation pings the host without its port",
  ...onPosix,
  async fn() {
    await using folder = await Folder.make();
    const page = PAGES.find(({ name }) => name === "docs/scripts.md")!;
    await folder.script("ping", 'echo "$@"');
    const { stdout } = await new Deno.Command("sh", {
      args: ["-c", blocksOf(page, "sh")[0]!, "ping.sh", "db1:5432"],
      env: { PATH: `${folder.path}:${Deno.env.get("PATH")}` },
    }).output();
    assertEquals(new TextDecoder().decode(stdout), "-c1 db1\n");
  },
});

Deno.test("a newcomer finds where a new kind of check goes within two clicks of the README", () => {
  const [, first] = /\]\((\.github\/docs\/adding-a-check\.md)\)/.exec(PAGES[0]!.text) ?? [];
  assert(first !== undefined, "the README does not link to the recipe");
  const recipe = PAGES.find(({ name }) => name === "docs/adding-a-check.md")!.text;
  assert(recipe.includes("src/health/"), "the recipe does not say where");
});
