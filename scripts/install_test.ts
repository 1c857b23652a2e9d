/**
 * Tests of the install script against a local file server, in every shell that is installed. It installs a
 * script that prints a version, in place of an executable of 70 MB.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { writeProgram } from "../src/base/testing/temp_folder.ts";
import { testWithPrograms } from "../tests/harness/scenario.ts";

const SCRIPT = new URL("install.sh", import.meta.url).pathname;
const SHELLS = [["dash"], ["bash"], ["busybox", "sh"]];
const NAME = `failover-${Deno.build.os === "darwin" ? "macos" : "linux"}-${Deno.build.arch}`;

const executable = (version: string) => `#!/bin/sh\necho "failover ${version} (as a test)"\n`;

async function sumOf(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(digest).toHex();
}

/** A server with releases 1.0.0 and 2.0.0, the latest, as GitHub would name their files. */
async function serveReleases(change: (path: string, text: string) => string = (_, text) => text) {
  const files = new Map<string, string>();
  for (const [path, version] of [["download/v1.0.0", "1.0.0"], ["latest/download", "2.0.0"]]) {
    files.set(`/${path}/${NAME}`, executable(version!));
    files.set(
      `/${path}/SHA256SUMS`,
      `${await sumOf("other")}  failover-other\n${await sumOf(executable(version!))}  ${NAME}\n`,
    );
  }
  const requested: string[] = [];
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    const path = new URL(request.url).pathname;
    requested.push(path);
    const text = files.get(path);
    return text === undefined
      ? new Response("no such file", { status: 404 })
      : new Response(change(path, text));
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    requested,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

interface InstallResult {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs the script with a new home folder and an otherwise empty environment. */
async function install(
  shell: readonly string[],
  home: string,
  url: string,
  args: readonly string[] = [],
  path = Deno.env.get("PATH")!,
): Promise<InstallResult> {
  const [program, ...rest] = shell;
  const { code, stdout, stderr } = await new Deno.Command(program!, {
    args: [...rest, SCRIPT, ...args],
    clearEnv: true,
    env: { HOME: home, PATH: path, TMPDIR: home, INSTALL_FROM: url },
  }).output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { code, out: out!, err: err! };
}

async function versionPrintedBy(path: string): Promise<string> {
  const { stdout } = await new Deno.Command(path, { args: ["--version"] }).output();
  return new TextDecoder().decode(stdout).trim();
}

function names(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map((entry) => entry.name).sort();
}

function onEachShell(
  name: string,
  run: (shell: readonly string[], home: string) => Promise<void>,
): void {
  for (const shell of SHELLS) {
    testWithPrograms(`[${shell.join(" ")}] ${name}`, [shell[0]!], async () => {
      const home = await Deno.makeTempDir({ prefix: "failover-test-" });
      try {
        await run(shell, home);
      } finally {
        await Deno.remove(home, { recursive: true });
      }
    });
  }
}

onEachShell(
  "the latest release is installed under both names, and not downloaded again",
  async (shell, home) => {
    await using releases = await serveReleases();
    const folder = `${home}/bin`;
    const first = await install(shell, home, releases.url, ["--dir", folder]);
    assertEquals([first.code, first.err], [0, ""]);
    assertStringIncludes(first.out, `installed failover 2.0.0 (as a test) as ${folder}/failover\n`);
    assertStringIncludes(first.out, `${folder} is not in PATH`);
    assertEquals(names(home), ["bin"]);
    assertEquals(names(folder), ["failover", "flopsy"]);
    assertEquals(await versionPrintedBy(`${folder}/flopsy`), "failover 2.0.0 (as a test)");

    releases.requested.length = 0;
    const path = `${Deno.env.get("PATH")}:${folder}`;
    const second = await install(shell, home, releases.url, [`--dir=${folder}`], path);
    assertEquals([second.code, second.out, second.err], [
      0,
      `${folder}/failover is up to date\n`,
      "",
    ]);
    assertEquals(releases.requested, ["/latest/download/SHA256SUMS"]);
    assertEquals(names(folder), ["failover", "flopsy"]);
  },
);

onEachShell("a release that is chosen by version replaces another", async (shell, home) => {
  await using releases = await serveReleases();
  await install(shell, home, releases.url, ["--dir", home]);
  for (const version of ["1.0.0", "v1.0.0"]) {
    const { code, err } = await install(shell, home, releases.url, [
      "--version",
      version,
      "--dir",
      home,
    ]);
    assertEquals([code, err], [0, ""]);
    assertEquals(await versionPrintedBy(`${home}/failover`), "failover 1.0.0 (as a test)");
  }
  const { code, err } = await install(shell, home, releases.url, [
    "--version=3.0.0",
    "--dir",
    home,
  ]);
  assertEquals(code, 1);
  assertMatch(err, /install: cannot download .*\/download\/v3\.0\.0\/SHA256SUMS\n$/);
  assertEquals(await versionPrintedBy(`${home}/failover`), "failover 1.0.0 (as a test)");
});

onEachShell("a wrong checksum is refused, and the installed release stays", async (shell, home) => {
  const isFile = (path: string) => path.endsWith(NAME) && path.startsWith("/latest");
  await using releases = await serveReleases((path, text) =>
    isFile(path) ? text.replace("2.0.0", "6.6.6") : text
  );
  assertEquals(
    (await install(shell, home, releases.url, ["--version=1.0.0", "--dir", home])).code,
    0,
  );
  const { code, out, err } = await install(shell, home, releases.url, ["--dir", home]);
  assertEquals([code, out], [1, ""]);
  assertMatch(
    err,
    /^install: the checksum of .* is wrong:\n {2}expected \w{64}\n {2}found {4}\w{64}\n$/,
  );
  assertEquals(await versionPrintedBy(`${home}/failover`), "failover 1.0.0 (as a test)");
  assertEquals(names(home), ["failover", "flopsy"]);
});

onEachShell("a release without a sum for this platform is refused", async (shell, home) => {
  await using releases = await serveReleases((path, text) =>
    path.endsWith("SHA256SUMS") ? text.replace(NAME, `${NAME}.old`) : text
  );
  const { code, err } = await install(shell, home, releases.url, ["--dir", home]);
  assertEquals([code, names(home)], [1, []]);
  assertMatch(err, /SHA256SUMS has no sum of failover-/);
});

onEachShell("an executable that does not run here is not installed", async (shell, home) => {
  const broken = "#!/bin/sh\nexit 1\n";
  const sum = await sumOf(broken);
  await using releases = await serveReleases((path, text) =>
    path.endsWith(NAME) ? broken : text.replace(/\w{64}(?= {2}failover-(linux|macos))/, sum)
  );
  const { code, err } = await install(shell, home, releases.url, ["--dir", home]);
  assertEquals([code, names(home)], [1, []]);
  assertMatch(err, /does not run on this system/);
});

onEachShell("another program called flopsy is left alone", async (shell, home) => {
  await using releases = await serveReleases();
  await Deno.writeTextFile(`${home}/flopsy`, "mine");
  const { code, out } = await install(shell, home, releases.url, ["--dir", home]);
  assertEquals(code, 0);
  assertStringIncludes(out, `${home}/flopsy is another program and was left alone\n`);
  assertEquals(await Deno.readTextFile(`${home}/flopsy`), "mine");
});

onEachShell(
  "errors on its command line are reported before anything is done",
  async (shell, home) => {
    await using releases = await serveReleases();
    for (const args of [["--versoin", "1"], ["--dir"], ["--version="]]) {
      const { code, out, err } = await install(shell, home, releases.url, args);
      assertEquals([code, out], [1, ""]);
      assertMatch(
        err,
        /install: (unknown argument --versoin|--dir needs a value|--version needs a value)\n$/,
      );
    }
    assertEquals((await install(shell, home, releases.url, ["--help"])).code, 0);
    assertEquals([releases.requested, names(home)], [[], []]);
  },
);

/** A PATH that begins with a folder of programs that replace those of the system; each is one line of shell. */
async function fakePrograms(
  home: string,
  lines: Readonly<Record<string, string>>,
): Promise<string> {
  const folder = await Deno.makeTempDir({ dir: home });
  for (const [name, line] of Object.entries(lines)) {
    await writeProgram(`${folder}/${name}`, `#!/bin/sh\n${line}\n`);
  }
  return `${folder}:${Deno.env.get("PATH")}`;
}

onEachShell("without root the script installs into ~/.local/bin", async (shell, home) => {
  await using releases = await serveReleases();
  const path = await fakePrograms(home, { id: "echo 1000" });
  const { code, err } = await install(shell, home, releases.url, [], path);
  assertEquals([code, err], [0, ""]);
  assertEquals(names(`${home}/.local/bin`), ["failover", "flopsy"]);
});

onEachShell(
  "the script chooses the executable of the platform, and versionPrintedBy which platforms have none",
  async (shell, home) => {
    await using releases = await serveReleases();
    const cases = [
      ["Linux", "x86_64", "failover-linux-x86_64"],
      ["Linux", "aarch64", "failover-linux-aarch64"],
      ["Darwin", "x86_64", "failover-macos-x86_64"],
      ["Darwin", "arm64", "failover-macos-aarch64"],
      ["Linux", "riscv64", "no executable for the riscv64 processor"],
      ["FreeBSD", "amd64", "no executable for FreeBSD"],
    ];
    for (const [system, machine, wanted] of cases) {
      const path = await fakePrograms(home, {
        uname: `[ "$1" = -s ] && echo ${system} || echo ${machine}`,
        sysctl: "exit 1",
        ldd: "echo glibc",
      });
      const { out, err } = await install(shell, home, releases.url, ["--dir", `${home}/bin`], path);
      const found = wanted === NAME ? `${out}${releases.requested.at(-1)}` : err;
      assertStringIncludes(found, wanted!);
    }
    const musl = await fakePrograms(home, {
      uname: "[ $1 = -s ] && echo Linux || echo x86_64",
      ldd: "echo musl >&2; exit 1",
    });
    const { code, err } = await install(shell, home, releases.url, [], musl);
    assertEquals(code, 1);
    assertMatch(err, /has musl/);
  },
);

testWithPrograms(
  "without curl the script downloads with wget",
  ["wget", "ldd", "sha256sum"],
  async () => {
    await using releases = await serveReleases();
    const home = await Deno.makeTempDir({ prefix: "failover-test-" });
    try {
      await Deno.mkdir(`${home}/tools`);
      const tools = "wget uname ldd grep id mktemp sed mkdir sha256sum cut chmod mv ln rm cat sh";
      for (const tool of tools.split(" ")) {
        const { stdout } = await new Deno.Command("sh", { args: ["-c", `command -v ${tool}`] })
          .output();
        await Deno.symlink(new TextDecoder().decode(stdout).trim(), `${home}/tools/${tool}`);
      }
      const shell = [await Deno.realPath("/bin/sh")];
      const { code, err } = await install(
        shell,
        home,
        releases.url,
        ["--dir", home],
        `${home}/tools`,
      );
      assertEquals([code, err], [0, ""]);
      assert((await versionPrintedBy(`${home}/failover`)).startsWith("failover 2.0.0"));
    } finally {
      await Deno.remove(home, { recursive: true });
    }
  },
);

testWithPrograms(
  "shellcheck finds nothing wrong with any script of this repository",
  ["shellcheck"],
  async () => {
    const scripts = [SCRIPT, new URL("../.ci/run", import.meta.url).pathname];
    const { code, stdout } = await new Deno.Command("shellcheck", { args: scripts }).output();
    assertEquals([code, new TextDecoder().decode(stdout)], [0, ""]);
  },
);
