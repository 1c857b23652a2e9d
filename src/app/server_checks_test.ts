import { assertEquals, assertRejects } from "@std/assert";
import { realClock } from "../base/clock.ts";
import { TempFolder } from "../base/testing/temp_folder.ts";
import { configOf } from "../config/testing/config.ts";
import { readPassword, serverCheckOf } from "./server_checks.ts";

Deno.test("a password is the first line of its file", async () => {
  await using folder = await TempFolder.make();
  const of = async (text: string) => await readPassword(await folder.write("password", text));
  assertEquals(await of("secret\n"), "secret");
  assertEquals(await of(" with spaces \r\nsecond line\n"), " with spaces ");
  await assertRejects(() => of("\n"), Error, "does not hold a password");
  await assertRejects(() => of("x".repeat(5_000)), Error, "it is longer than 4096 bytes");
  await assertRejects(() => readPassword(folder.path), Error, "it is no regular file");
  await assertRejects(
    () => readPassword(`${folder.path}/gone`),
    Error,
    `the password file ${folder.path}/gone: `,
  );
});

Deno.test("the check of a service that asks no database is not made", () => {
  const [config] = configOf(["-H", "a:1,b:2", "-p", "5432"]).services;
  const settings = { clock: realClock, env: {}, timeoutMs: () => 1_000, onEnd: () => {} };
  let reason = "";
  try {
    if (config!.mode === "tcp") serverCheckOf(config!, settings);
  } catch (error) {
    reason = String(error);
  }
  assertEquals(reason, "Error: This check asks no database");
});
