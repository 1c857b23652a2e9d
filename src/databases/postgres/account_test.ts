import { assertEquals, assertRejects } from "@std/assert";
import { inTempFolder } from "../../base/testing/temp_folder.ts";
import { LoginRefused } from "../server.ts";
import { accountOf, attemptsOf, SSL_MODES, sslModeOf, tlsOf, userOf } from "./account.ts";

const ADDRESS = { kind: "tcp", host: "db1", port: 5432 } as const;
const NOBODY = { user: undefined, readPassword: undefined, env: {} };

Deno.test("the options come before the environment, and nothing is invented", async () => {
  assertEquals(userOf(NOBODY), undefined);
  assertEquals(userOf({ ...NOBODY, env: { PGUSER: "" } }), undefined);
  await assertRejects(() => accountOf(NOBODY, ADDRESS), LoginRefused);
  const env = { PGUSER: "env", PGPASSWORD: "secret", PGDATABASE: "app" };
  assertEquals(await accountOf({ ...NOBODY, env }, ADDRESS), {
    user: "env",
    password: "secret",
    database: "app",
  });
  const readPassword = () => Promise.resolve("own");
  assertEquals(await accountOf({ user: "me", readPassword, env }, ADDRESS), {
    user: "me",
    password: "own",
    database: "app",
  });
  assertEquals(await accountOf({ ...NOBODY, user: "me" }, ADDRESS), {
    user: "me",
    database: "postgres",
  });
});

Deno.test("a password file is used by host and port, also for a unix socket, if only its owner may read it", async () => {
  await inTempFolder(async (folder) => {
    const path = `${folder}/.pgpass`;
    await Deno.writeTextFile(path, "db1:5432:*:me:tcp\nlocalhost:5433:*:me:unix\n");
    await Deno.chmod(path, 0o600);
    const credentials = { ...NOBODY, user: "me", env: { HOME: folder } };
    assertEquals((await accountOf(credentials, ADDRESS)).password, "tcp");
    const socket = { kind: "unix", path: "/run/.s.PGSQL.5433" } as const;
    assertEquals((await accountOf(credentials, socket)).password, "unix");
    await Deno.chmod(path, 0o640);
    await assertRejects(() => accountOf(credentials, ADDRESS), LoginRefused, "chmod 600");
  });
});

Deno.test("each mode of TLS has its attempts and its verification", async () => {
  assertEquals(SSL_MODES.map(attemptsOf), [
    [false],
    [false, true],
    [true, false],
    [true],
    [true],
    [true],
  ]);
  assertEquals([sslModeOf({ env: {} }), sslModeOf({ env: { PGSSLMODE: "x" } })], [
    "prefer",
    undefined,
  ]);
  const env = { PGSSLMODE: "require", PGSSLROOTCERT: "/no" };
  assertEquals(sslModeOf({ env, tlsMode: "disable" }), "disable");
  assertEquals(sslModeOf({ env: {}, tlsCa: "/ca" }), "verify-full");
  await assertRejects(() => tlsOf("require", { env, tlsCa: "/ca" }), LoginRefused, "/ca");
  const verify = async (env: Record<string, string>) =>
    (await Promise.all(SSL_MODES.map((mode) => tlsOf(mode, { env })))).map(({ verify }) => verify);
  assertEquals(await verify({}), ["none", "none", "none", "none", "ca", "full"]);
  await inTempFolder(async (folder) => {
    await Deno.mkdir(`${folder}/.postgresql`);
    await Deno.writeTextFile(`${folder}/.postgresql/root.crt`, "PEM");
    const env = { HOME: folder };
    assertEquals(await verify(env), ["none", "none", "none", "ca", "ca", "full"]);
    assertEquals((await tlsOf("verify-full", { env })).ca, "PEM");
    assertEquals(await tlsOf("verify-full", { env: { ...env, PGSSLROOTCERT: "system" } }), {
      verify: "full",
    });
  });
  await assertRejects(
    () => tlsOf("require", { env: { PGSSLROOTCERT: "/no" } }),
    LoginRefused,
    "do not exist",
  );
});
