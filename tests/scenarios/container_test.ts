/**
 * The container image without a container: the environment that its Dockerfile sets, the variables of
 * the original's image, and scripts in a folder of our own in place of /etc/flopsy.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { ask } from "../harness/client.ts";
import { Folder } from "../harness/folder.ts";
import { withTestDeadline } from "../harness/test_deadline.ts";
import { Proxy, runProxy } from "../harness/proxy.ts";
import { scenario } from "../harness/scenario.ts";
import { startUpstream } from "../harness/upstream.ts";
import { unusedPort } from "../../src/base/testing/ports.ts";

const DOCKERFILE = await Deno.readTextFile(new URL("../../Dockerfile", import.meta.url));

/** The environment of the image, with `root` before its paths. */
function imageEnv(root: Folder): Record<string, string> {
  const lines = DOCKERFILE.matchAll(/^ENV (\w+)=(\S+)$/gm);
  const env = Object.fromEntries(
    [...lines].map((
      [, name, value],
    ) => [name!, value!.startsWith("/") ? root.at(value!.slice(1)) : value!]),
  );
  assertEquals(Object.keys(env), ["FAILOVER_SCRIPTS_DIR", "FAILOVER_STATE_DIR"]);
  // The configured folder must exist, mounted or not.
  assert(DOCKERFILE.includes(" mkdir /etc/flopsy "));
  Deno.mkdirSync(root.at("etc/flopsy"), { recursive: true });
  return env;
}

Deno.test("mounted scripts are used as check and triggers, as in the original's container", async () => {
  await using root = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  await using backup = await startUpstream({ says: "backup" });
  await root.script("etc/flopsy/check-host.sh", `[ "$1" = '${backup.name}' ]`);
  await root.script("etc/flopsy/triggers.d/10-tell.sh", `echo "$1" >> promoted`);
  const port = String(unusedPort());
  const env = {
    ...imageEnv(root),
    PORT: port,
    HOSTS: `${primary.name},${backup.name}`,
    MAX_BACKOFF: "2",
  };
  await using proxy = new Proxy(["--json-logs"], env);
  await proxy.event("port.opened");

  assertEquals(await ask(`127.0.0.1:${port}`), "backup");
  assertEquals(await root.read("promoted"), `${backup.name}\n`);
});

Deno.test("without mounted scripts a container needs no further options", async () => {
  await using root = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const port = String(unusedPort());
  const env = { ...imageEnv(root), PORT: port, HOSTS: primary.name };
  await using proxy = new Proxy(["--json-logs"], env);
  await proxy.event("port.opened");

  assertEquals(await ask(`127.0.0.1:${port}`), "primary");
  assertEquals(proxy.events("config.warned"), []);
});

Deno.test("a mounted check that is not executable is reported in one line, and not used", async () => {
  await using root = await Folder.make();
  await using primary = await startUpstream({ says: "primary" });
  const path = await root.script("etc/flopsy/check-host.sh", "exit 1");
  await Deno.chmod(path, 0o644);
  const port = String(unusedPort());
  const env = { ...imageEnv(root), PORT: port, HOSTS: primary.name };
  await using proxy = new Proxy(["--json-logs"], env);
  await proxy.event("port.opened");

  assertEquals(await ask(`127.0.0.1:${port}`), "primary");
  const warnings = proxy.events("config.warned").map(({ warning }) => warning);
  assertEquals(warnings.length, 1, warnings.join("\n"));
  assert(warnings[0]!.startsWith(`${path} is not used: it is not executable`), warnings[0]);
});

Deno.test("--print-config shows that a script comes from the container's folder", async () => {
  await using root = await Folder.make();
  const path = await root.script("etc/flopsy/check-host.sh", "exit 0");
  const run = await runProxy(["-p", "1", "-H", "a:1", "--print-config"], imageEnv(root));
  const line = run.stdout.find((each) => each.startsWith("check_host:")) ?? "";
  assert(line.includes(path), line);
  assertMatch(line, /# environment FAILOVER_SCRIPTS_DIR$/);
});

/** The exit code of the image's health check in this environment. */
async function health(env: Record<string, string>): Promise<number> {
  const [, check] = /^HEALTHCHECK .*?CMD ((?:.*\\\n)*.*)$/m.exec(DOCKERFILE)!;
  const command = new Deno.Command("sh", { args: ["-c", check!], env, stderr: "null" });
  return (await command.output()).code;
}

/** Resolves when the health check passes: the admin listener opens without a log line. */
async function untilHealthy(env: Record<string, string>): Promise<void> {
  const asking = async () => {
    while (await health(env) !== 0);
  };
  await withTestDeadline("the health check to pass", asking());
}

scenario(
  "the health check asks the admin listener that the environment names",
  async ({ relay }) => {
    await using root = await Folder.make();
    await using primary = await startUpstream({ says: "primary" });
    for (const admin of [`127.0.0.1:${unusedPort()}`, `unix:${root.at("admin")}`]) {
      const env = { FAILOVER_ADMIN: admin };
      assert(await health(env) !== 0, admin);
      const args = ["--bind", "127.0.0.1:0", "--hosts", primary.name, "--relay", relay];
      await using proxy = new Proxy(args, env);
      await withTestDeadline(
        "the container to be healthy",
        untilHealthy(env),
        () => proxy.log.join("\n"),
      );
    }
    assertEquals(await health({ FAILOVER_ADMIN: "" }), 0);
  },
  ["curl"],
);
