/** Tests of the examples, the Dockerfile and the workflows that need not run them. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { parse } from "@std/yaml";
import { permissionsFor } from "./permissions.ts";
import { scriptOf } from "../tests/harness/readme.ts";
import { testWithPrograms } from "../tests/harness/scenario.ts";
import { FOLDER, loadWith } from "../src/config/testing/config.ts";

const EXAMPLES = new URL("examples/", import.meta.url);

async function read(name: string): Promise<string> {
  return await Deno.readTextFile(new URL(name, EXAMPLES));
}

/** YAML documents as plain data, whose scalars stay text. */
async function documents(name: string) {
  const texts = (await read(name)).split(/^---$/m);
  // deno-lint-ignore no-explicit-any -- the tests read any field
  return texts.map((text) => parse(text, { schema: "failsafe" }) as any);
}

Deno.test("the config and the arguments of the Kubernetes example are valid", async () => {
  const [config, deployment, service] = await documents("kubernetes.yaml");
  const [container] = deployment.spec.template.spec.containers;
  const [flag, path] = container.args;
  const name = path.slice("/etc/failover/".length);
  const loaded = loadWith([flag, path], { files: { [path]: config.data[name] } });
  assert(loaded.kind === "run", JSON.stringify(loaded));
  assertEquals(loaded.warnings, []);
  const [web] = loaded.config.services;
  assert(web?.mode === "http" && web.listen.kind === "tcp");
  const ports = container.ports.map((each: { containerPort: string }) => each.containerPort);
  assertEquals(ports, [String(web.listen.port)]);
  assertEquals(service.spec.selector, deployment.spec.template.metadata.labels);
});

Deno.test("the environment of the compose example is valid", async () => {
  const [{ services: { failover: { environment } } }] = await documents("compose.yaml");
  const loaded = loadWith([], { env: environment });
  assert(loaded.kind === "run", JSON.stringify(loaded));
  assertEquals(loaded.warnings, []);
});

Deno.test("the compose example has what the scripts of the README's recipe need", async () => {
  const [{ services: { failover }, volumes, secrets }] = await documents("compose.yaml");
  assert("state" in volumes && "pgpass" in secrets);
  const mounts: string[] = failover.volumes.map((each: string) => each.split(":")[1]);
  const dockerfile = await Deno.readTextFile(new URL("../Dockerfile", import.meta.url));
  const [, state] = /^ENV FAILOVER_STATE_DIR=(\S+)$/m.exec(dockerfile)!;
  assert(mounts.includes(state!), state);
  assertMatch(dockerfile, new RegExp(`^VOLUME ${state}$`, "m"));
  assertMatch(dockerfile, new RegExp(`install -d -o 65532 -g 65532 ${state}\n`));
  // psql and pg_isready.
  assertMatch(failover.build.dockerfile_inline, / postgresql-client /);
  assertMatch(failover.build.dockerfile_inline, /\nUSER 65532:65532\n$/);
  const unit = await read("failover.service");
  assertMatch(unit, /^StateDirectory=failover$/m);
  assertMatch(unit, new RegExp(`^Environment=FAILOVER_STATE_DIR=${state}$`, "m"));
});

testWithPrograms(
  "shellcheck finds nothing wrong with the scripts of the recipes",
  ["shellcheck"],
  async () => {
    for (const engine of ["postgres", "redis"]) {
      for (const name of [`${engine}_check.sh`, `${engine}_promote.sh`]) {
        const file = await Deno.makeTempFile({ suffix: ".sh" });
        await Deno.writeTextFile(file, scriptOf(name));
        const command = new Deno.Command("shellcheck", { args: ["--shell=sh", file] });
        const { code, stdout } = await command.output();
        await Deno.remove(file);
        assertEquals(code, 0, new TextDecoder().decode(stdout));
      }
    }
  },
);

Deno.test("the options that the systemd unit starts with are valid", async () => {
  const unit = await read("failover.service");
  const command = /^ExecStart=(.*)$/m.exec(unit)![1]!.split(" ");
  assertEquals(command[0], "/usr/local/bin/failover");
  const files = { "/etc/failover/failover.yaml": "hosts: a:1\nport: 2\n" };
  assertEquals(loadWith(command.slice(1), { files }).kind, "run");
  // V8 cannot run with this restriction.
  assert(!/^MemoryDenyWriteExecute/m.test(unit));
});

testWithPrograms(
  "systemd finds nothing wrong with the units",
  ["systemd-analyze"],
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
    const unit = (await read("failover.service")).replaceAll(
      "/usr/local/bin/failover",
      "/bin/true",
    );
    await Deno.writeTextFile(`${folder}/failover.service`, unit);
    await Deno.writeTextFile(`${folder}/failover.socket`, await read("failover.socket"));
    const units = ["service", "socket"].map((kind) => `${folder}/failover.${kind}`);
    const command = new Deno.Command("systemd-analyze", { args: ["verify", "--man=no", ...units] });
    const { code, stderr } = await command.output();
    assertEquals([code, new TextDecoder().decode(stderr)], [0, ""]);
    await Deno.remove(folder, { recursive: true });
  },
);

Deno.test("the image has fixed versions, no root user, and no shell before the program", async () => {
  const text = await Deno.readTextFile(new URL("../Dockerfile", import.meta.url));
  const lines = text.replaceAll("\\\n", " ").split("\n").filter((line) => /^[A-Z]/.test(line));
  const of = (word: string) => lines.filter((line) => line.startsWith(`${word} `));
  for (const from of of("FROM")) assertMatch(from, /:[\w.-]*(\d|bookworm)[\w.-]*( AS \w+)?$/);
  assertMatch(of("USER").at(-1)!, /^USER [1-9]\d*:[1-9]\d*$/);
  assertEquals(of("ENTRYPOINT"), ['ENTRYPOINT ["/usr/local/bin/failover"]']);
  assertEquals([of("HEALTHCHECK").length, of("CMD").length], [1, 0]);
  const copied = of("COPY").filter((line) => !line.includes("--from"));
  const ignored = await Deno.readTextFile(new URL("../.dockerignore", import.meta.url));
  for (const name of copied.flatMap((line) => line.split(" ").slice(1, -1))) {
    assert(ignored.includes(`!${name}\n`), `${name} is not sent to the builder`);
  }
});

Deno.test("third-party actions are pinned by commit, and no workflow has more permissions than it declares", async () => {
  const folder = new URL("../.github/workflows/", import.meta.url);
  const names = [...Deno.readDirSync(folder)].map(({ name }) => name);
  assertEquals(names.toSorted(), ["ci.yml", "nightly.yml", "release.yml"]);
  for (const name of names) {
    const text = await Deno.readTextFile(new URL(name, folder));
    const uses = [...text.matchAll(/^\s*(?:- )?uses: (.*)$/gm)].map(([, what]) => what!);
    assert(uses.length > 0, name);
    for (const what of uses.filter((each) => !each.startsWith("./"))) {
      assertMatch(what, /^[\w-]+\/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
    }
    assertMatch(text, /^permissions:( \{\}|\n {2}contents: read)$/m);
  }
});

Deno.test("tests, executables and image use the same version of Deno", async () => {
  const files = [
    ".ci/run",
    "Dockerfile",
    ".github/workflows/ci.yml",
    ".github/workflows/nightly.yml",
    ".github/workflows/release.yml",
  ];
  for (const name of files) {
    const text = await Deno.readTextFile(new URL(`../${name}`, import.meta.url));
    const versions = [...text.matchAll(/\bdeno(?:@|:debian-)([\d.]+)/g)].map(([, each]) => each);
    assert(versions.length > 0, name);
    for (const version of versions) assertEquals(version, Deno.version.deno, name);
  }
});

Deno.test("the changelog has the notes of the present version", async () => {
  const { version } = JSON.parse(await Deno.readTextFile(new URL("../deno.json", import.meta.url)));
  const log = await Deno.readTextFile(new URL("../.github/CHANGELOG.md", import.meta.url));
  assert(log.includes(`\n## ${version}\n`), `the changelog has nothing of ${version}`);
});

Deno.test("the commands of the documentation install the program, which then runs from anywhere", async () => {
  const readme = await Deno.readTextFile(new URL("../.github/docs/install.md", import.meta.url));
  const [line] = /^deno install .*$/m.exec(readme)!;
  const [, ...args] = line.split(" ");
  const flags = permissionsFor("linux");
  assertEquals(args.filter((each) => flags.includes(each)), flags);
  const folder = await Deno.makeTempDir({ prefix: "failover-test-" });
  try {
    const install = new Deno.Command(Deno.execPath(), {
      args,
      cwd: new URL("..", import.meta.url),
      env: { DENO_INSTALL_ROOT: folder },
    });
    const { code, stderr } = await install.output();
    assertEquals(code, 0, new TextDecoder().decode(stderr));
    const deno = Deno.execPath().replace(/[^/\\]+$/, "");
    const installed = new Deno.Command(`${folder}/bin/failover`, {
      args: ["--version"],
      cwd: folder,
      env: { PATH: `${deno}:${Deno.env.get("PATH")}` },
    });
    const { stdout } = await installed.output();
    assertMatch(new TextDecoder().decode(stdout), /^failover \d+\.\d+\.\d+ \(from source, /);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("the containers of the documentation listen on the ports that they publish", async () => {
  const readme = await Deno.readTextFile(new URL("../.github/docs/install.md", import.meta.url));
  const commands = [...readme.matchAll(/^docker run (.*) ghcr\.io\/failover\/failover ?(.*)$/gm)];
  const listening = commands.map(([, options, args]) => {
    const env = Object.fromEntries(
      [...options!.matchAll(/-e (\w+)=(\S+)/g)].map(([, name, value]) => [name!, value!]),
    );
    const loaded = loadWith(args!.split(" ").filter((arg) => arg !== ""), {
      env: { FAILOVER_SCRIPTS_DIR: "/etc/flopsy", ...env },
      infos: { "/etc/flopsy": FOLDER },
    });
    assert(loaded.kind === "run", JSON.stringify(loaded));
    assertEquals(loaded.warnings, []);
    const [service] = loaded.config.services;
    const address = service!.mode === "tcp" ? service!.bind : service!.listen;
    assert(address.kind === "tcp" && options!.includes(`-p ${address.port}:${address.port}`));
    return service!.mode;
  });
  assertEquals(listening, ["http", "tcp"]);
});
