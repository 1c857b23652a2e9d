import { assertEquals, assertRejects } from "@std/assert";
import { Fault } from "../base/fault.ts";
import { inTempFolder } from "../base/testing/temp_folder.ts";
import { passwordFrom, readOperatorFile } from "./files.ts";
import { LoginRefused } from "./server.ts";

Deno.test("a file is read with its mode; one that does not exist is none", async () => {
  await inTempFolder(async (folder) => {
    assertEquals(await readOperatorFile(`${folder}/no`), undefined);
    await Deno.writeTextFile(`${folder}/a`, "text");
    await Deno.chmod(`${folder}/a`, 0o640);
    const file = await readOperatorFile(`${folder}/a`);
    assertEquals([file?.text, file!.mode! & 0o777], ["text", 0o640]);
  });
});

Deno.test("a folder, and a file that is too large, are refused", async () => {
  await inTempFolder(async (folder) => {
    await assertRejects(() => readOperatorFile(folder), LoginRefused, "is not a plain file");
    await Deno.writeFile(`${folder}/large`, new Uint8Array(1024 * 1024 + 1));
    await assertRejects(() => readOperatorFile(`${folder}/large`), LoginRefused, "is larger");
  });
});

Deno.test("a password that cannot be read is a refusal, unless this machine is short of something", async () => {
  const fail = (error: Error) => () => Promise.reject(error);
  assertEquals(await passwordFrom(() => Promise.resolve("a")), "a");
  await assertRejects(() => passwordFrom(fail(new Error("gone"))), LoginRefused, "gone");
  const short = Object.assign(new Error("too many"), { code: "EMFILE" });
  const error = await assertRejects(() => passwordFrom(fail(short)), Fault);
  assertEquals(error.fault, "localShortage");
});
